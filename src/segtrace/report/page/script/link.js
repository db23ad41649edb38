// The state as the address's last part, so that a link opens what its sender saw.
// What comes from an address is looked up in lists or read as a number, and is never shown.
let keeping = 0;

function linked() {
  const { beside, view } = state, words = {
    organ: DATA.organs[state.organ], case: DATA.cases[state.slice],
    slice: DATA.slices[state.slice], epoch: FRAMES[state.frame].epoch,
    stage: DATA.stages[state.stage], rule: DATA.rules[state.rule], region: regionOf(frame()),
    window: state.window.map((x) => Number(x.toFixed(4))).join("_"), scale: state.scale,
    cut: state.threshold, overlay: state.hidden ? 0 : $("opacity").value,
    lines: Number($("truth").checked) + 2 * Number($("prediction").checked),
  };
  if (view.closer > 1) words.view = [view.y, view.x, view.closer].join("_");
  if (beside) {
    words.stage2 = DATA.stages[beside.stage];
    words.rule2 = DATA.rules[beside.rule];
    words.epoch2 = FRAMES[beside.frame].epoch;
  }
  return `#${new URLSearchParams(words)}`;
}

// Written when things have come to rest: browsers refuse many changes in short time.
function keepLink() {
  clearTimeout(keeping);
  keeping = setTimeout(() => history.replaceState(null, "", linked()), 150);
}

// Takes from an address what this page has; what it has not stays as it is.
function restore(address) {
  const given = new URLSearchParams(address.slice(1));
  if (!given.has("organ")) return; // no link of ours
  const place = (name, list) => given.has(name) ? list.map(String).indexOf(given.get(name)) : -1;
  const take = (name, list, use) => { if (place(name, list) >= 0) use(place(name, list)); };
  const numbers = (name) => (given.get(name) || "").split("_").map((text) =>
    /^-?\d{1,7}(\.\d{1,6})?$/.test(text) ? Number(text) : NaN);
  const epochs = FRAMES.map(({ epoch }) => epoch);
  take("epoch", epochs, (f) => { state.frame = f; });
  take("region", regionsHere(), (r) => { state.region = regionsHere()[r]; });
  take("rule", DATA.rules, (r) => { state.rule = r; });
  take("organ", DATA.organs, chooseOrgan);
  take("stage", DATA.stages, pickStage);
  const slice = DATA.cases.findIndex((name, n) => name === given.get("case") &&
    String(DATA.slices[n]) === given.get("slice"));
  if (slice >= 0) state.slice = slice;
  const [low, high] = numbers("window"), [y, x, closer] = numbers("view");
  if (low < high) chooseWindow(low, high);
  const [cut, overlay, lines] = ["cut", "overlay", "lines"].map((name) => numbers(name)[0]);
  if (cut >= 0 && cut <= Number($("threshold").max)) state.threshold = Math.round(cut);
  if (overlay >= 0 && overlay <= 100) $("opacity").value = overlay;
  if (lines >= 0 && lines < 4) {
    [$("truth").checked, $("prediction").checked] = [lines % 2 > 0, lines > 1];
  }
  state.view = closer > 1 && closer <= CLOSEST && Number.isFinite(y + x) ? part(y, x, closer) : WHOLE;
  const beside = { stage: place("stage2", DATA.stages), rule: place("rule2", DATA.rules),
    frame: place("epoch2", epochs) };
  state.beside = Object.values(beside).every((i) => i >= 0) ? beside : null;
  const scales = Object.keys(SCALES).filter((name) =>
    (name !== "both" || state.beside) && (name !== "epochs" || FRAMES.length > 1));
  take("scale", scales, (i) => { state.scale = scales[i]; });
}

async function copyLink() {
  const address = location.href.split("#")[0] + linked();
  try {
    await navigator.clipboard.writeText(address);
    $("done").value = "Link copied: it opens this view in this file, or in a copy at that place.";
  } catch {
    history.replaceState(null, "", linked());
    $("done").value = "This browser lets no page copy; the link stands in the address bar.";
  }
}
