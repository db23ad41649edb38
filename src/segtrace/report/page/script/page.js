// Everything follows from what is chosen; keys and controls choose.
let latest = 0;

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

function showControls() {
  options($("rule"), DATA.titles.map((title, i) => [i, title]), state.rule);
  options($("slice"), slicesOf(state.organ).map((n) => [n,
    nameOf(n) + (present(frame(), state.organ, n)
      ? Number.isFinite(diceOf(state.organ, n)) ? ` · Dice ${brief(diceOf(state.organ, n))}` : ""
      : frame().region ? ` · no ${frame().region} here` : " · organ not here")]), state.slice);
  options($("region"), regionsHere().map((name) => [name, name]), regionOf(frame()));
  $("region-label").hidden = regionsHere().length < 2;
  showWindows();
  $("threshold").value = state.threshold;
  $("threshold-words").value = `${state.threshold} %`;
  $("stage").max = DATA.stages.length - 1;
  $("stage").value = state.stage;
  $("stage-words").value = DATA.stages[state.stage];
  $("epochs").hidden = FRAMES.length < 2;
  $("epoch").max = FRAMES.length - 1;
  $("epoch").value = state.frame;
  $("epoch-words").value = `${epochName(frame().epoch)} (${FRAMES.length} epochs here)`;
}

// The presets, and behind them a window that was dragged.
function showWindows() {
  const same = ([, window]) => String(window) === String(state.window);
  const preset = WINDOWS.findIndex(same);
  options($("window"), [...WINDOWS.map(([name], i) => [i, name]),
    ...(preset < 0 ? [[-1, `dragged, ${windowWords()}`]] : [])], preset);
}

async function show() {
  const now = ++latest, { beside } = state;
  const next = viewed(FRAMES[state.frame]), other = beside && viewed(FRAMES[beside.frame]);
  await Promise.all([next, other].filter(Boolean).map(unpackMaps));
  if (now !== latest) return; // something else was chosen meanwhile
  [state.shown, state.shownBeside] = [next, other];
  state.ct = ctOf(state.slice);
  $("what").textContent = `${epochName(frame().epoch)} · explained region: ${regionOf(frame())}`;
  $("done").value = "";
  showOrgans();
  showCompare();
  showControls();
  showPictures();
  showCautions();
  showCharts();
  showReading();
  showRoute();
  keepLink();
}

const step = (value, by, count) => (value + by + count) % count;
const held = (value, by, count) => Math.min(Math.max(value + by, 0), count - 1);
const toggle = (id) => { $(id).checked = !$(id).checked; };
const nextSlice = (by, how) => {
  const order = slicesOf(state.organ);
  state.slice = order[how(order.indexOf(state.slice), by, SLICES)];
};
const KEYS = {
  ArrowLeft: () => pickStage(held(state.stage, -1, DATA.stages.length)),
  ArrowRight: () => pickStage(held(state.stage, 1, DATA.stages.length)),
  ArrowUp: () => { state.frame = held(state.frame, 1, FRAMES.length); },
  ArrowDown: () => { state.frame = held(state.frame, -1, FRAMES.length); },
  "[": () => nextSlice(-1, step),
  "]": () => nextSlice(1, step),
  o: () => chooseOrgan(DATA.order[step(DATA.order.indexOf(state.organ), 1, ORGANS)]),
  r: () => { state.rule = step(state.rule, 1, RULES); },
  f: () => {
    const here = regionsHere();
    chooseRegion(here[step(here.indexOf(regionOf(frame())), 1, here.length)]);
  },
  c: () => compare(!state.beside),
  t: () => toggle("truth"),
  p: () => toggle("prediction"),
  h: () => { state.hidden = !state.hidden; },
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  0: () => { state.view = WHOLE; },
};

// A menu reads letters and arrows itself, and a slider arrows.
function pressed(event) {
  const native = event.target.closest?.("select") ||
    (event.target.closest?.("input[type=range]") && event.key.startsWith("Arrow"));
  if (native || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
  show();
}

function listen() {
  const bind = (id, event, choose, then = show) => $(id).addEventListener(event, () => {
    choose($(id).value);
    then();
  });
  bind("rule", "change", (value) => { state.rule = Number(value); });
  bind("slice", "change", (value) => { state.slice = Number(value); });
  bind("window", "change", (value) => { [, state.window] = WINDOWS[value] || [0, state.window]; });
  bind("region", "change", chooseRegion);
  bind("scale", "change", (value) => { state.scale = value; });
  bind("stage", "input", (value) => pickStage(Number(value)));
  bind("epoch", "input", (value) => { state.frame = Number(value); });
  bind("threshold", "input", (value) => { state.threshold = Number(value); });
  const repaint = () => { showPictures(); keepLink(); };
  bind("opacity", "input", () => { state.hidden = false; }, repaint);
  for (const id of ["truth", "prediction"]) bind(id, "change", () => {}, repaint);
  $("link").addEventListener("click", copyLink);
  $("save").addEventListener("click", savePicture);
  document.addEventListener("keydown", pressed);
  releaseMenus();
  window.addEventListener("resize", () => showPictures());
  window.addEventListener("hashchange", () => { restore(location.hash); show(); });
}

// A menu that the mouse has used gives the keys back to the page.
function releaseMenus() {
  let mouse = false;
  document.addEventListener("pointerdown", () => { mouse = true; }, true);
  document.addEventListener("keydown", () => { mouse = false; }, true);
  document.addEventListener("change", (event) => {
    if (mouse && event.target.matches("select")) event.target.blur();
  });
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
    child(button, "canvas").setAttribute("role", "img");
    child(button, "span", stage);
    button.addEventListener("click", () => { pickStage(s); show(); });
  });
  state.stage = DATA.stages.length - 1;
  chooseOrgan(state.organ);
  restore(location.hash);
  document.querySelector("label.truth").hidden = !DATA.truth;
  showOrigin();
  if (DATA.plane) $("slice").parentElement.firstChild.textContent = "Plane ";
  for (const word of document.querySelectorAll(".shown")) word.textContent = IMAGE;
  for (const [view, file] of Object.entries(DATA.views)) {
    if (DATA.plane !== `${view} plane`) child($("views"), "a", `${view} `, { href: file });
  }
  await show();
  listen();
  listenToPictures();
  listenToCompare();
  document.body.dataset.ready = "yes";
}
begin();
