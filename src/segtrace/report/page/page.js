// What is chosen, and everything that follows from it.
const state = { frame: FRAMES.length - 1, region: DATA.region, stage: 0, rule: 0,
  organ: DATA.order[0], slice: 0, window: 0, hidden: false };
const WINDOWS = [
  [`network's, ${DATA.window[0]} to ${DATA.window[1]} HU`, DATA.window],
  ["abdomen, W 400 L 40", [-160, 240]],
  ["organs, W 200 L 100", [0, 200]],
  ["liver, W 150 L 90", [15, 165]],
  ...(DATA.ct.clipped ? [] : [
    ["lung, W 1500 L -600", [-1350, 150]],
    ["bone, W 1800 L 400", [-500, 1300]],
  ]),
];
const STRONG = ["nowhere", "final", "echo", "incoherent", "missed", "untrained"];
const epochName = (epoch) =>
  epoch === null ? "epoch unknown" : epoch === 0 ? "epoch 0, untrained" : `epoch ${epoch}`;
// An epoch as it is explained for the chosen region, if it is: `region` stands there then.
const viewed = (f) => ({ ...f, ...f.others.find(({ region }) => region === state.region) });
const frame = () => state.shown;
const region = () => frame().region || DATA.region;
const regionsHere = () => [DATA.region, ...FRAMES[state.frame].others.map((other) => other.region)];
const present = (o, n) => statusOf(frame(), 0, state.rule, o, n) !== "absent";
const diceOf = (o, n) => frame().dice[at2(o, n)];
const spacing = () => DATA.spacing[state.slice];

function child(parent, name, words = "", attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  made.textContent = words;
  parent.append(made);
  return made;
}

function options(select, words, chosen) {
  select.replaceChildren();
  words.forEach(([value, text]) => child(select, "option", text, { value }));
  select.value = chosen;
}

// The organ's slices, the worst first; those without it last.
function slicesOf(o) {
  const place = (n) => [present(o, n) ? 0 : 1, Number.isFinite(diceOf(o, n)) ? diceOf(o, n) : 2, n];
  return [...Array(SLICES).keys()].sort((a, b) => {
    const [p, q] = [place(a), place(b)];
    return p[0] - q[0] || p[1] - q[1] || p[2] - q[2];
  });
}

function chooseOrgan(o) {
  state.organ = o;
  state.slice = slicesOf(o)[0];
  show();
}

// Another region of the organ, on the slice of those that have it where the Dice is worst.
function chooseRegion(name) {
  state.region = name;
  state.shown = viewed(FRAMES[state.frame]);
  state.slice = slicesOf(state.organ)[0];
  show();
}

// Where the evidence lies on the organ best, of the stages of which that may be said.
function bestStage(o) {
  const now = DATA.all_epochs.indexOf(frame().epoch);
  const focus = DATA.stages.map((stage, s) => {
    const gain = meanOf("gain", now, s, state.rule, o);
    const unusable = stage === DATA.final || DATA.echo[at3(s, state.rule, o)];
    return unusable || !Number.isFinite(gain) ? -Infinity : gain;
  });
  return focus.indexOf(Math.max(...focus));
}

function showOrgans() {
  const before = document.activeElement?.dataset?.organ;
  $("network").textContent = frame().network[state.rule];
  $("organs").replaceChildren();
  for (const o of DATA.order) {
    const button = child($("organs"), "button", frame().sentences[state.rule][o]);
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(o === state.organ));
    button.dataset.organ = o;
    button.addEventListener("click", () => chooseOrgan(o));
    if (String(o) === before) button.focus();
  }
}

function showSelects() {
  options($("rule"), DATA.rules.map((rule, i) => [i, plain(rule)]), state.rule);
  options($("slice"), slicesOf(state.organ).map((n) => [n,
    `${DATA.cases[n]}, slice ${DATA.slices[n]}` + (present(state.organ, n)
      ? Number.isFinite(diceOf(state.organ, n)) ? ` · Dice ${brief(diceOf(state.organ, n))}` : ""
      : frame().region ? ` · no ${frame().region} here` : " · organ not here")]), state.slice);
  options($("region"), regionsHere().map((name) => [name, name]), region());
  $("region-label").hidden = regionsHere().length < 2;
  options($("window"), WINDOWS.map(([name], i) => [i, name]), state.window);
  $("stage").max = DATA.stages.length - 1;
  $("stage").value = state.stage;
  $("stage-words").value = DATA.stages[state.stage];
  $("epochs").hidden = FRAMES.length < 2;
  $("epoch").max = FRAMES.length - 1;
  $("epoch").value = state.frame;
  $("epoch-words").value = `${epochName(frame().epoch)} (${FRAMES.length} epochs here)`;
}

// The value drawn brightest, and what it is called.
function brightest(s) {
  const top = (f, stage) => statusOf(f, stage, state.rule, state.organ, state.slice) === "ok"
    ? numberOf(f, "max", stage, state.rule, state.organ, state.slice) : 0;
  if ($("scale").value === "stages") {
    return [Math.max(...DATA.stages.map((_, i) => top(frame(), i))), "largest of all stages"];
  }
  if ($("scale").value === "epochs") {
    const same = FRAMES.map(viewed).filter((f) => f.region === frame().region);
    return [Math.max(...same.map((f) => top(f, s))), "largest of these epochs"];
  }
  return [top(frame(), s), "this map's maximum"];
}

function fit(canvas) {
  const [tall, wide] = spacing() || [1, 1];
  canvas.width = Math.round(canvas.parentElement.clientWidth * (window.devicePixelRatio || 1));
  canvas.height = Math.round(canvas.width * HEIGHT * tall / (WIDTH * wide));
}

// One picture; stage null is the CT alone.
function picture(canvas, s, marked) {
  fit(canvas);
  const { rule, organ, slice } = state;
  const map = s === null ? null : mapOf(frame(), s, rule, organ, slice);
  const peak = s === null ? 0 : numberOf(frame(), "max", s, rule, organ, slice);
  const opacity = state.hidden ? 0 : $("opacity").value / 100;
  const share = map ? peak / (brightest(s)[0] || 1) : 0;
  paint(canvas, state.ct, WINDOWS[state.window][1], map, share, opacity);
  if (s !== null && !map) {
    const status = statusOf(frame(), s, rule, organ, slice);
    note(canvas, marked ? DATA.reasons[status] : status.replaceAll("_", " "));
  }
  if (!marked) return;
  const channel = DATA.channels[organ];
  const truth = labelsOf(DATA.truth, slice), found = labelsOf(frame().prediction, slice);
  if ($("truth").checked && truth) contour(canvas, truth, channel, DATA.truth_colour, false);
  if ($("prediction").checked) contour(canvas, found, channel, DATA.prediction_colour, true);
  letters(canvas, spacing());
}

function showPictures() {
  state.ct = ctOf(state.slice);
  picture($("ct"), null, true);
  picture($("map"), state.stage, true);
  const { organ, slice, rule, stage } = state;
  const [top, what] = brightest(stage);
  const shown = statusOf(frame(), stage, rule, organ, slice) === "ok";
  $("ct-words").textContent = `${DATA.cases[slice]}, slice ${DATA.slices[slice]}` +
    `${DATA.sides ? " from caudal" : ""} · ` +
    `${plain(DATA.organs[organ])}: ${sizes()}` + (DATA.truth ? ` · Dice of this slice ` +
      `${brief(diceOf(organ, slice))}, of the case's slices here ` +
      `${brief(frame().case_dice[at2(organ, slice)])}` : "") + wholeCase();
  $("map-words").textContent = `Evidence for ${plain(DATA.organs[organ])} at ` +
    `${DATA.stages[stage]}, ${plain(DATA.rules[rule])}, ${epochName(frame().epoch)} · ` + (shown
      ? `brightest = ${power(top)} (${what}), map's maximum ${power(numberOf(frame(), "max", stage,
        rule, organ, slice))}` : "no map to show");
  [...$("strip").children].forEach((button, s) => {
    picture(button.firstChild, s, false);
    button.setAttribute("aria-pressed", String(s === stage));
  });
}

// How large the organ is on the slice.
function sizes() {
  const channel = DATA.channels[state.organ], mm = spacing();
  const size = (labels) => {
    const pixels = countOf(labels, channel);
    return mm ? `${brief(pixels * mm[0] * mm[1] / 100, 1)} cm²` : `${pixels} px`;
  };
  const truth = labelsOf(DATA.truth, state.slice);
  const found = size(labelsOf(frame().prediction, state.slice));
  return truth ? `truth ${size(truth)}, prediction ${found}` : `prediction ${found}`;
}

// The organ in the whole case: its Dice and volumes, as far as they are known.
function wholeCase() {
  const [truth, found, dice] = ["truth_ml", "found_ml", "dice"].map((name) =>
    frame().whole[name][at2(state.organ, state.slice)]);
  const words = [];
  if (Number.isFinite(dice)) words.push(`Dice ${brief(dice)}`);
  if (Number.isFinite(truth)) words.push(`truth ${brief(truth, 0)} ml`);
  if (Number.isFinite(found)) words.push(`prediction ${brief(found, 0)} ml`);
  return words.length ? ` · whole case: ${words.join(", ")}` : "";
}

async function show() {
  state.shown = viewed(FRAMES[state.frame]);
  await unpackMaps(frame());
  $("what").textContent = `${epochName(frame().epoch)} · explained region: ${region()}`;
  showOrgans();
  showSelects();
  showPictures();
  showCautions();
  showCharts();
  showReading();
  showRoute();
  document.body.dataset.ready = "yes";
}

const step = (value, by, count) => (value + by + count) % count;
const held = (value, by, count) => Math.min(Math.max(value + by, 0), count - 1);
const toggle = (id) => { $(id).checked = !$(id).checked; };
const nextSlice = (by) => {
  const order = slicesOf(state.organ);
  state.slice = order[step(order.indexOf(state.slice), by, SLICES)];
};
const KEYS = {
  ArrowLeft: () => { state.stage = held(state.stage, -1, DATA.stages.length); },
  ArrowRight: () => { state.stage = held(state.stage, 1, DATA.stages.length); },
  ArrowUp: () => { state.frame = held(state.frame, 1, FRAMES.length); },
  ArrowDown: () => { state.frame = held(state.frame, -1, FRAMES.length); },
  "[": () => nextSlice(-1),
  "]": () => nextSlice(1),
  o: () => {
    state.organ = DATA.order[step(DATA.order.indexOf(state.organ), 1, ORGANS)];
    state.slice = slicesOf(state.organ)[0];
  },
  r: () => { state.rule = step(state.rule, 1, RULES); },
  f: () => {
    const here = regionsHere();
    chooseRegion(here[step(here.indexOf(region()), 1, here.length)]);
  },
  t: () => toggle("truth"),
  p: () => toggle("prediction"),
  h: () => { state.hidden = !state.hidden; },
};

function listen() {
  const bind = (id, key, event) => $(id).addEventListener(event, () => {
    state[key] = Number($(id).value);
    show();
  });
  for (const id of ["rule", "slice", "window"]) bind(id, id, "change");
  $("region").addEventListener("change", () => chooseRegion($("region").value));
  bind("stage", "stage", "input");
  bind("epoch", "frame", "input");
  $("opacity").addEventListener("input", () => { state.hidden = false; showPictures(); });
  for (const id of ["scale", "truth", "prediction"]) $(id).addEventListener("change", showPictures);
  document.addEventListener("keydown", (event) => {
    const native = event.target.closest?.("select, input[type=range]") &&
      event.key.startsWith("Arrow");
    if (native || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
    show();
  });
  for (const id of ["ct", "map"]) {
    $(id).addEventListener("pointermove", (event) => readout($(id), event));
  }
  window.addEventListener("resize", () => showPictures());
}

async function begin() {
  if (typeof DecompressionStream === "undefined") {
    $("what").textContent = "This browser is too old for the page; use one from 2023 or later.";
    return;
  }
  await unpackAll();
  DATA.stages.forEach((stage, s) => {
    const button = child($("strip"), "button");
    button.title = `stage ${stage}`;
    child(button, "canvas");
    child(button, "span", stage);
    button.addEventListener("click", () => { state.stage = s; show(); });
  });
  state.shown = FRAMES[state.frame];
  state.stage = bestStage(state.organ);
  state.slice = slicesOf(state.organ)[0];
  $("readout").textContent = "Move over a picture: HU, place, labels and evidence stand here.";
  document.querySelector("label.truth").hidden = !DATA.truth;
  showOrigin();
  listen();
  await show();
}
begin();
