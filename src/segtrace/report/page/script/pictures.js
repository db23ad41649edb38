// What the pictures, their captions and colour bars show.
const STRONG = ["nowhere", "final", "echo", "incoherent", "missed", "untrained", "averaged"];
const SCALES = { own: "own maximum", stages: "all stages' maximum", epochs: "all epochs' maximum",
  both: "both maps' maximum" };

const peakOf = (look) => statusIn(look) === "ok" ? numberIn(look, "max") : 0;

// The value drawn brightest, and what it is called.
function brightest(look) {
  if (state.scale === "stages") {
    return [Math.max(...DATA.stages.map((_, stage) => peakOf({ ...look, stage }))),
      "largest of all stages"];
  }
  if (state.scale === "epochs") {
    const same = FRAMES.map(viewed).filter((f) => f.region === look.frame.region);
    return [Math.max(...same.map((f) => peakOf({ ...look, frame: f }))), "largest of these epochs"];
  }
  if (state.scale === "both" && state.beside) {
    return [Math.max(peakOf(shown()), peakOf(besideIt())), "larger of the two maps"];
  }
  return [peakOf(look), "this map's maximum"];
}

function fit(canvas) {
  const [tall, wide] = spacing() || [1, 1];
  canvas.width = Math.round(canvas.parentElement.clientWidth * (window.devicePixelRatio || 1));
  canvas.height = Math.round(canvas.width * HEIGHT * tall / (WIDTH * wide));
}

// A picture's name for those who cannot see it.
function describe(canvas, words) {
  canvas.setAttribute("aria-label", words);
  canvas.textContent = words;
}

// One picture; look null is the CT alone. A small one is whole, without lines and letters.
function picture(canvas, look, large) {
  fit(canvas);
  const map = look && mapIn(look), view = large ? state.view : WHOLE;
  // Of two maps' scale the small pictures know nothing: each has its own.
  const top = map && (large || state.scale !== "both" ? brightest(look)[0] : peakOf(look));
  const overlay = map && { map, opacity: state.hidden ? 0 : $("opacity").value / 100,
    share: peakOf(look) / (top || 1), cut: 2.55 * state.threshold };
  paint(canvas, state.ct, view, state.window, overlay);
  if (look && !map) {
    const status = statusIn(look);
    note(canvas, large ? DATA.reasons[status] : status === "dead" ? "none" : plain(status));
  }
  if (!large) return;
  const channel = DATA.channels[state.organ];
  const truth = labelsOf(DATA.truth, state.slice);
  const found = labelsOf((look ? look.frame : frame()).prediction, state.slice);
  if ($("truth").checked && truth) contour(canvas, view, truth, channel, DATA.truth_colour, false);
  if ($("prediction").checked) {
    contour(canvas, view, found, channel, DATA.prediction_colour, true);
  }
  letters(canvas, view, spacing());
}

// The colours of a map beside what they stand for; what is cut off has none.
function bar(box, look) {
  const [canvas, top] = [box.querySelector("canvas"), box.querySelector("output")];
  const [most, what] = brightest(look), peak = peakOf(look), context = canvas.getContext("2d");
  box.hidden = statusIn(look) !== "ok";
  [canvas.width, canvas.height] = [256, 12];
  const cut = state.threshold / 100 * peak / (most || 1) * 255;
  for (let level = 0; level < 256; level++) {
    const colour = DATA.colours.subarray(3 * level, 3 * level + 3);
    context.fillStyle = level < cut ? "#000" : `rgb(${colour.map((c) => c * cover(level))})`;
    context.fillRect(level, 0, 1, 12);
  }
  context.fillStyle = "#fff";
  if (state.threshold) context.fillRect(Math.round(cut) - 1, 0, 2, 12);
  top.value = `${power(most)}, ${what}` + (most > peak ? ` (of this map ${power(peak)})` : "") +
    (state.threshold ? ` · not painted below ${power(state.threshold / 100 * peak)}, ` +
      `${state.threshold} % of this map's maximum` : "");
  describe(canvas, `Colours from 0 to ${top.value}`);
}

function mapWords(look) {
  const { frame: f, stage, rule } = look;
  const words = `Evidence for ${organName()}${f.region ? ` (${f.region})` : ""} at ` +
    `${DATA.stages[stage]}, ${DATA.titles[rule]}, ${epochName(f.epoch)}`;
  if (statusIn(look) !== "ok") return `${words} · no map to show: ${DATA.reasons[statusIn(look)]}`;
  const off = numberIn(look, "outside");
  return `${words} · ${ITS} gain ${brief(numberIn(look, "gain"))}` +
    (Number.isFinite(off) ? `, ${Math.round(100 * off)} % of the evidence off the body` : "");
}

const windowWords = ([low, high] = state.window) => DATA.hounsfield
  ? `${Math.round(low)} to ${Math.round(high)} HU (W ${Math.round(high - low)}, ` +
    `L ${Math.round((low + high) / 2)})`
  : `grey levels ${brief(low)} to ${brief(high)}`;

// The large pictures: what a drag and a slider change at every move.
function showLarge() {
  const looks = { map: shown(), beside: besideIt() };
  if (!state.beside) {
    picture($("ct"), null, true);
    describe($("ct"), `${KIND} of ${sliceName()}, window ${windowWords()}`);
  }
  $("window-words").textContent = `${KIND}, window ${windowWords()}`;
  for (const [id, look] of Object.entries(looks)) {
    if (!look) continue;
    picture($(id), look, true);
    bar($(`${id}-bar`), look);
    $(`${id}-words`).textContent = mapWords(look);
    describe($(id), mapWords(look));
  }
  showReadout();
}

function showPictures() {
  $("ct-words").textContent = `${sliceName()}${DATA.sides && !DATA.plane ? " from caudal" : ""} · ` +
    `${organName()}: ${sizes()}` + (DATA.truth ? ` · Dice of this ${IMAGE} ` +
      `${brief(diceOf(state.organ, state.slice))}, of the case's ${IMAGE}s here ` +
      `${brief(frame().case_dice[at2(state.organ, state.slice)])}` : "") + wholeCase();
  showLarge();
  [...$("strip").children].forEach((button, stage) => {
    const look = { ...shown(), stage }, [canvas, name] = button.children;
    picture(canvas, look, false);
    name.textContent = DATA.stages[stage] + (stage === named()[0] && named()[1] ? " ◆" : "");
    describe(canvas, statusIn(look) === "ok"
      ? `gain ${brief(numberIn(look, "gain"))} ${ITS}` : DATA.reasons[statusIn(look)]);
    button.setAttribute("aria-pressed", String(stage === state.stage));
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
