// What is chosen, and what is read off it everywhere.
const WHOLE = { y: 0, x: 0, closer: 1, height: HEIGHT, width: WIDTH };
const WINDOWS = [
  [`network's, ${DATA.window[0]} to ${DATA.window[1]}`, DATA.window],
  ...(DATA.hounsfield ? [
    ["abdomen, W 400 L 40", [-160, 240]],
    ["organs, W 200 L 100", [0, 200]],
    ["liver, W 150 L 90", [15, 165]],
  ] : []),
  ...(DATA.hounsfield && !DATA.ct.clipped ? [
    ["lung, W 1500 L -600", [-1350, 150]],
    ["bone, W 1800 L 400", [-500, 1300]],
  ] : []),
  ...(DATA.hounsfield || DATA.ct.clipped ? [] : [["all of it", DATA.ct.range]]),
];
// `stage` follows the headline until the user picks one. `beside` is the second map in comparing:
// its frame, stage and rule. `view` is the part of the crop that is seen, in pixels, so many times
// closer than the whole.
const state = { frame: FRAMES.length - 1, region: DATA.region, stage: 0, picked: false, rule: 0,
  organ: DATA.order[0], slice: 0, window: DATA.window, scale: "own", threshold: 0, hidden: false,
  beside: null, view: WHOLE, pointer: undefined };

// An epoch as it is explained for the chosen region, if it is: `region` stands there then.
const viewed = (f) => ({ ...f, ...f.others.find(({ region }) => region === state.region) });
// The maps on the screen: of which epoch, stage and rule; the second is null without comparing.
const shown = () => ({ frame: state.shown, stage: state.stage, rule: state.rule });
const besideIt = () => state.beside && { ...state.beside, frame: state.shownBeside };
const frame = () => state.shown;
const regionOf = (f) => f.region || DATA.region;
const regionsHere = () => [DATA.region, ...FRAMES[state.frame].others.map((other) => other.region)];
const statusIn = (look) => statusOf(look.frame, look.stage, look.rule, state.organ, state.slice);
const numberIn = (look, name) =>
  numberOf(look.frame, name, look.stage, look.rule, state.organ, state.slice);
const mapIn = (look) => mapOf(look.frame, look.stage, look.rule, state.organ, state.slice);
const readable = (status) =>
  DATA.statuses.indexOf(status) < DATA.statuses.indexOf("gap_degenerate");
const present = (f, o, n) => statusOf(f, 0, state.rule, o, n) !== "absent";
const diceOf = (o, n) => FRAMES[state.frame].dice[at2(o, n)];
const spacing = () => DATA.spacing[state.slice];

const epochName = (epoch) =>
  epoch === null ? "epoch unknown" : epoch === 0 ? "epoch 0, untrained" : `epoch ${epoch}`;
// What is shown: a slice, whose numbers are its own, or a plane beside the numbers of its volume.
const [IMAGE, ITS] = DATA.plane ? ["plane", "of the whole volume"] : ["slice", "on this slice"];
const KIND = DATA.hounsfield ? "CT" : "Image";
const nameOf = (n) => `${DATA.cases[n]}, ${DATA.plane || "slice"} ${DATA.slices[n]}`;
const sliceName = () => nameOf(state.slice);
const organName = () => plain(DATA.organs[state.organ]);
// A value of the image as the data says it is: HU, or a grey level that may be a small fraction.
const valued = (value) => DATA.hounsfield ? `${Math.round(value)} HU`
  : `grey level ${brief(value, DATA.window[1] - DATA.window[0] < 20 ? 2 : 0)}`;

// The organ's slices, the worst first; those without it last. Planes stay in their order.
function slicesOf(o) {
  if (DATA.plane) return [...Array(SLICES).keys()];
  const f = viewed(FRAMES[state.frame]);
  const place = (n) =>
    [present(f, o, n) ? 0 : 1, Number.isFinite(diceOf(o, n)) ? diceOf(o, n) : 2, n];
  return [...Array(SLICES).keys()].sort((a, b) => {
    const [p, q] = [place(a), place(b)];
    return p[0] - q[0] || p[1] - q[1] || p[2] - q[2];
  });
}

// The stage that the organ's headline names, -1 if none may be named, and what it says of it.
const named = () => FRAMES[state.frame].named[state.rule][state.organ];

// The plane with most of an organ.
function largestOf(o) {
  const labels = DATA.truth || FRAMES[state.frame].prediction;
  const sizes = [...Array(SLICES).keys()].map((n) => countOf(labelsOf(labels, n), DATA.channels[o]));
  return sizes.indexOf(Math.max(...sizes));
}

// Where an organ opens: neither its best nor its worst slice, since its sentence is of all of them.
function typicalOf(o) {
  if (DATA.plane) return largestOf(o);
  const order = slicesOf(o);
  const holding = order.filter((n) => present(viewed(FRAMES[state.frame]), o, n));
  return holding.length ? holding[Math.floor((holding.length - 1) / 2)] : order[0];
}

function chooseOrgan(o) {
  state.organ = o;
  state.slice = typicalOf(o);
  followHeadline();
}

function followHeadline() {
  if (!state.picked && named()[0] >= 0) [state.stage] = named();
}

function pickStage(s) {
  state.stage = s;
  state.picked = true;
}

// Another region of the organ; of what was wrong the slice of those that have it with the worst Dice.
function chooseRegion(name) {
  state.region = name;
  if (DATA.plane) return;
  state.slice = name === DATA.region ? typicalOf(state.organ) : slicesOf(state.organ)[0];
}
