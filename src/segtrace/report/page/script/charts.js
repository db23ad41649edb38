// Small line charts, drawn as SVG.
const SVG = "http://www.w3.org/2000/svg";
const CHART = { width: 378, height: 130, left: 36, right: 18, top: 9, bottom: 22, ink: 12 };

function element(parent, name, attributes = {}, words = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (words) made.textContent = words;
  parent.append(made);
  return made;
}

// lines: [{ values, colour, dash, dots, name }] over the positions 0..count-1.
function chart(box, { id, title, below, names, range, ticks, lines, marks = [], chosen, pick }) {
  const section = document.createElement("div");
  section.className = "chart";
  section.id = id;
  section.append(Object.assign(document.createElement("h2"), { textContent: title }));
  const svg = element(section, "svg",
    { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", "aria-label": `${title}: ` +
      names.map((name, i) => `${name} ${brief(lines[0].values[i])}`).join(", ") });
  const wide = CHART.width - CHART.left - CHART.right;
  const x = (i) => CHART.left + (names.length > 1 ? i / (names.length - 1) : 0.5) * wide;
  const tall = CHART.height - CHART.top - CHART.bottom;
  const y = (v) => CHART.top + (range[1] - Math.min(Math.max(v, range[0]), range[1])) /
    (range[1] - range[0]) * tall;
  axes(svg, ticks || [range[0], (range[0] + range[1]) / 2, range[1]], x, y, names);
  for (const mark of marks) {
    element(svg, "line", { x1: CHART.left, x2: CHART.width - CHART.right, y1: y(mark), y2: y(mark),
      stroke: "#777", "stroke-dasharray": "2 3" });
  }
  element(svg, "line", { x1: x(chosen), x2: x(chosen), y1: CHART.top, y2: CHART.top + tall,
    stroke: "#f0e442", "stroke-opacity": 0.6 });
  for (const line of lines) draw(svg, line, x, y, names);
  const step = wide / Math.max(1, names.length - 1);
  names.forEach((name, i) => {
    const hit = element(svg, "rect", { x: x(i) - step / 2, y: 0, width: step,
      height: CHART.height, fill: "transparent", style: "cursor: pointer" });
    element(hit, "title", {}, [name, ...lines.map((line) =>
      `${line.name} ${brief(line.values[i], 3)}`)].join("\n"));
    hit.addEventListener("click", () => pick(i));
  });
  section.append(key(lines, below));
  box.append(section);
}

function axes(svg, ticks, x, y, names) {
  const ink = { fill: "#a9adb3", "font-size": CHART.ink };
  for (const value of ticks) {
    element(svg, "line", { x1: CHART.left, x2: CHART.width - CHART.right, y1: y(value), y2: y(value),
      stroke: "#3a3f46" });
    element(svg, "text", { x: CHART.left - 4, y: y(value) + 4, "text-anchor": "end", ...ink },
      String(Number(value.toFixed(2))));
  }
  // Of names that would run into one another only some are written.
  const long = Math.max(...names.map((name) => name.length)) * CHART.ink * 0.55 + 4;
  const every = Math.ceil(long / ((x(names.length - 1) - x(0)) / Math.max(1, names.length - 1)));
  names.forEach((name, i) => {
    if (i % every) return;
    element(svg, "text", { x: x(i), y: CHART.height - 6, "text-anchor": "middle", ...ink }, name);
  });
}

function draw(svg, { values, colour, dash, dots }, x, y, names) {
  let path = "", gap = true;
  names.forEach((_, i) => {
    if (!Number.isFinite(values[i])) { gap = true; return; }
    path += `${gap ? "M" : "L"}${x(i).toFixed(1)} ${y(values[i]).toFixed(1)}`;
    gap = false;
    // A value without neighbours has no line to lie on.
    const alone = ![i - 1, i + 1].some((j) => Number.isFinite(values[j]));
    if (dots || alone) element(svg, "circle", { cx: x(i), cy: y(values[i]), r: 2.6, fill: colour });
  });
  if (!path || dots === "only") return;
  element(svg, "path", { d: path, fill: "none", stroke: colour, "stroke-width": 1.6,
    "stroke-dasharray": dash || "none" });
}

function key(lines, below) {
  const words = document.createElement("p");
  lines.forEach((line, i) => {
    const sign = line.dots === "only" ? "●" : line.dash ? "┅" : "━";
    const part = Object.assign(document.createElement("span"),
      { textContent: `${i ? " · " : ""}${sign} ${line.name}` });
    part.style.color = line.colour;
    words.append(part);
  });
  if (below) words.append(document.createElement("br"), below);
  return words;
}

function showCharts() {
  const { stage, rule, organ, slice } = state, box = $("charts");
  const now = DATA.all_epochs.indexOf(frame().epoch);
  const sound = (s) => readable(statusOf(frame(), s, rule, organ, slice));
  const byStage = (name, slices) => [
    { name: DATA.plane ? "all volumes" : "all slices", colour: "#e8e8e8", values: DATA.stages.map((_, s) =>
      meanNow(name, s, rule, organ)) },
    { name: DATA.plane ? "this volume" : "this slice", colour: "#f0e442", dots: "only", values: DATA.stages.map((_, s) =>
      slices(s) ? numberOf(frame(), name, s, rule, organ, slice) : NaN) },
    ...(UNTRAINED < 0 || frame().epoch === 0 || frame().region ? [] : [{ name: "untrained",
      colour: "#a9adb3", dash: "4 3", values: DATA.stages.map((_, s) =>
        meanOf(name, UNTRAINED, s, rule, organ)) }]),
  ];
  const chosen = { names: DATA.stages, chosen: stage, pick: (s) => { pickStage(s); show(); } };
  box.replaceChildren();
  if (state.beside) child(box, "p", "Charts, stages and epochs here are of the left map.");
  for (const measure of DATA.measures) {
    const { name, title, words, of_map, averaging_only, caution } = measure;
    if (averaging_only && !DATA.averaging.includes(DATA.rules[rule])) continue;
    const lines = byStage(name, of_map ? sound : () => true);
    chart(box, { id: `chart-${name}`, title: `${title} at each stage`, ...chosen, lines,
      ...scaled(measure, lines), marks: caution === null ? [] : [caution],
      below: caution === null ? words : `${words} (dotted line)` });
    if (name === "gain") focusOverEpochs(box, measure, now);
  }
}

// The ends of a chart and its ticks: the measure's own, or whole numbers around its values.
function scaled({ axis, dip, nothing }, lines) {
  if (axis) {
    const [low, high] = axis;
    return { range: [low - dip, high], ticks: [low, (low + high) / 2, high] };
  }
  const values = lines.flatMap((line) => line.values)
    .filter((v) => Number.isFinite(v) && (nothing === null || v > nothing + 0.1));
  if (!values.length) return { range: nothing === null ? [0, 1] : [nothing, 0] };
  return { range: [Math.floor(Math.min(...values)), Math.ceil(Math.max(...values) + 0.01)] };
}

// The headline beside the Dice, at the chosen stage.
function focusOverEpochs(box, measure, now) {
  const { stage, rule, organ } = state;
  if (DATA.all_epochs.length > 1 && !frame().region) {
    chart(box, { id: "chart-epochs", title: `${measure.title} at ${DATA.stages[stage]} over the epochs`,
      names: DATA.all_epochs.map(String), ...scaled(measure, []), chosen: now,
      pick: (e) => { state.frame = nearest(e); show(); },
      lines: [
        { name: DATA.plane ? "focus, all volumes" : "focus, all slices", colour: "#e8e8e8",
          values: DATA.all_epochs.map((_, e) => meanOf("gain", e, stage, rule, organ)) },
        { name: `Dice, ${DATA.extent}`, colour: "#f09600", dash: "4 3",
          values: DATA.all_epochs.map((_, e) => DATA.organ_dice[e * ORGANS + organ]) }] });
  }
}

// The frame whose epoch is nearest to one of all epochs.
function nearest(e) {
  const far = FRAMES.map((f) => Math.abs(f.epoch - DATA.all_epochs[e]));
  return far.indexOf(Math.min(...far));
}
