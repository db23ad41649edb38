// What is said in words: cautions, how to read the page, what made it.
function cautions(look) {
  const { frame: f, stage, rule } = look, { organ, slice } = state, found = [];
  const status = statusIn(look), averaging = DATA.averaging.includes(DATA.rules[rule]);
  if (status !== "ok") found.push(["status", `Not shown: ${DATA.reasons[status]}.`]);
  for (const words of DATA.slice_cautions) found.push(["slices", `${words}.`]);
  const add = (name, holds) => { if (holds) found.push([name, DATA.cautions[name]]); };
  add("untrained", f.epoch === 0);
  const nowhere = f.missed.includes(DATA.organs[organ]);
  add("air", status === "ok" && numberIn(look, "outside") > DATA.airy);
  if (f.region && averaging) found.push(["averaged", `${DATA.cautions.averaged} ${alike(look)}`]);
  add("nowhere", nowhere);
  add("final", DATA.stages[stage] === DATA.final && !nowhere);
  add("echo", !f.region && DATA.echo[at3(stage, rule, organ)]);
  add("incoherent", status === "ok" && averaging && numberIn(look, "kappa") < DATA.low_coherence);
  add("missed", !nowhere && status !== "absent" && f.dice[at2(organ, slice)] < 0.1 &&
    ["ground truth", "false negatives"].includes(regionOf(f)));
  add("parts", f.parts[at2(organ, slice)] > 1);
  add("no_untrained", UNTRAINED < 0);
  add("unlabelled", !DATA.truth);
  add("training", DATA.training);
  add("phantom", DATA.phantom);
  add("by_file", DATA.by_file);
  add("one_run", true);
  return found;
}

// How alike this map is to the leading region's, whose pixels the rule has forgotten, too.
function alike(look) {
  const r = look.frame.likeness[at4(look.stage, look.rule, state.organ, state.slice)];
  return Number.isFinite(r) ? `This map and that of the ${DATA.region} correlate at r ${brief(r)}.`
    : `No correlation with the map of the ${DATA.region}: one of the two cannot be read.`;
}

// Of two maps what holds for one of them alone says for which.
function cautionsHere() {
  const left = cautions(shown());
  if (!state.beside) return left;
  const right = cautions(besideIt()), key = ([name, words]) => name + words;
  const only = (some, others, which) => some
    .filter((one) => !others.some((other) => key(other) === key(one)))
    .map(([name, words]) => [name, `${which} map: ${words}`]);
  const both = left.filter((one) => right.some((other) => key(other) === key(one)));
  return [...only(left, right, "Left"), ...only(right, left, "Right"), ...both];
}

function showCautions() {
  $("cautions").replaceChildren();
  for (const [name, words] of cautionsHere()) {
    const strong = ["status", "slices"].includes(name) || STRONG.includes(name);
    child($("cautions"), "li", words, { className: strong ? "strong" : "" }).dataset.caution = name;
  }
}

const ENDS = { R: "the patient's right (R)", A: "anterior (A)", S: "superior (S)" };

function showReading() {
  const lines = [
    `Explained is ${DATA.score}, summed over the region: ${regionOf(frame())}.` + (frame().region
      ? ` The sentences above, echoes and the epochs' chart are of the ${DATA.region}.` : ""),
    ...[...new Set([shown(), besideIt()].filter(Boolean).map(({ rule }) => rule))]
      .map((rule) => {
        const [title, method] = [DATA.titles[rule], DATA.methods[DATA.rules[rule]]];
        return method.startsWith(title) ? `${method}.` : `${title}: ${method}.`;
      }),
    "Shown is the positive part; dark to bright is weak to strong, and no colour is no evidence.",
    `To read gain: ${DATA.measures.find(({ name }) => name === "gain")?.words}.`,
    DATA.ends ? `Radiological convention: ${ENDS[DATA.ends[2]]} is on the left, ` +
      `${ENDS[DATA.ends[0]]} is up.` + (DATA.plane ? "" : " Slices are counted from caudal.")
      : "Which side is the patient's right, which way is up and from where slices are counted " +
      "is not known: the data does not say.",
    aboutCT(),
    ...(DATA.input_channels > 1 ? [`The network was given ${DATA.input_channels} channels of each ` +
      "slice; pictures show the first."] : []),
    "A map says where the score is sensitive, not why, and not that the network is right.",
  ];
  $("reading").replaceChildren();
  lines.forEach((line) => child($("reading"), "p", line));
}

// What the CT on the page is, beside what the network was given.
function aboutCT() {
  const planes = DATA.plane?.replace("plane", "planes");
  const pixels = (planes ? `a volume of which these are ${planes} of ` : "") +
    `${DATA.size.join(" × ")} pixels`;
  if (!DATA.hounsfield) {
    return "The image is shown in grey levels" + (DATA.ct.original ? " of its file"
      : `, the network's input, ${pixels}`) + ": the data does not say that its values are HU.";
  }
  const input = `${pixels} and a window of ${DATA.window[0]} to ${DATA.window[1]} HU`;
  const ends = DATA.ct.clipped ? " At the window's ends HU mean “or beyond”, and other windows " +
    "can only be narrower." : "";
  if (!DATA.ct.original) {
    return `The CT is the network's input, ${input}. HU are read back from it.${ends}`;
  }
  const grids = [...new Set(DATA.ct.slices.map(({ grid }) => grid.join(" × ")))];
  const own = grids.length > 2 ? "each slice in its own number of pixels" : `${grids.join(" or ")} pixels`;
  return `The CT is shown as its file has it, ${own} before cropping. The ` +
    `network was given ${input}; labels, prediction and maps have that resolution.${ends}`;
}

function showOrigin() {
  const none = DATA.events ? "None found." : "Not looked for: events are told of the course of a " +
    "training, explain.py checkpoint='…/epoch_*.ckpt'.";
  for (const line of DATA.events?.length ? DATA.events : [none]) child($("events"), "li", line);
  const kept = FRAMES.map((f) => f.epoch);
  const dropped = DATA.all_epochs.filter((epoch) => !kept.includes(epoch));
  if (dropped.length) {
    child($("dropped"), "p", `Pictures are kept of epochs ${kept.join(", ")}. Left out, to keep ` +
      `the file small: ${dropped.join(", ")}; their numbers are in the charts.`);
  }
  const coarse = DATA.stages.filter((stage) => DATA.factors[stage] > 1);
  if (coarse.length) {
    child($("dropped"), "p", `Maps of ${coarse.join(", ")} are shown ` +
      `${DATA.factors[coarse[0]]} times coarser than they are, to keep the file small.`);
  }
  const images = [...new Set(DATA.cases)].join(", ");
  const rows = [["cases", images + (DATA.phantom ? " (phantom)" : "") +
    (DATA.training ? " (training split)" : "")], ["maps",
    "positive part in 256 steps of each map's maximum; signed values in maps.npz"], ...DATA.facts];
  for (const [name, words] of rows) {
    const row = $("facts").insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = words;
  }
}
