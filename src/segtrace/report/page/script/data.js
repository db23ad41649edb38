// The data of the page: plain values, and arrays as base64 of zlib.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const plain = (name) => name.replaceAll("_", " ");
const RULES = DATA.rules.length, ORGANS = DATA.organs.length, SLICES = DATA.cases.length;
const [TOP, LEFT, HEIGHT, WIDTH] = DATA.crop;
const FRAMES = DATA.frames;
const UNTRAINED = DATA.all_epochs.indexOf(0);

async function unpacked(text, type) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new type(await new Response(stream).arrayBuffer());
}

// Replaces packed[key] by its array, once.
async function unpackIn(packed, key, type) {
  if (typeof packed[key] === "string") packed[key] = await unpacked(packed[key], type);
}

// One number a pixel; where organs are apart, which may overlap, a bit for each of them.
const Labels = DATA.apart && Object.keys(DATA.names).length > 8 ? Uint32Array : Uint8Array;
const holds = (value, channel) => DATA.apart
  ? channel >= 0 && (value >>> channel & 1) === 1 : value === channel;
const namesOf = (value) => Object.keys(DATA.names).filter((number) => holds(value, Number(number)))
  .map((number) => plain(DATA.names[number])).join(" + ") || "none";

async function unpackAll() {
  const jobs = [["truth", Labels], ["colours", Uint8Array],
    ["echo", Uint8Array], ["organ_dice", Float32Array]]
    .map(([key, type]) => unpackIn(DATA, key, type));
  for (const name of Object.keys(DATA.means)) jobs.push(unpackIn(DATA.means, name, Float32Array));
  for (const slice of DATA.ct.slices) jobs.push(unpackIn(slice, "levels", Uint8Array));
  for (const frame of FRAMES) {
    jobs.push(unpackIn(frame, "prediction", Labels));
    for (const key of ["dice", "case_dice"]) jobs.push(unpackIn(frame, key, Float32Array));
    const numbers = [frame.whole];
    for (const shown of [frame, ...frame.others]) {
      jobs.push(unpackIn(shown, "parts", Uint8Array), unpackIn(shown, "status", Int8Array));
      numbers.push(shown.numbers, shown.means || {});
      if (shown.likeness) jobs.push(unpackIn(shown, "likeness", Float32Array));
    }
    for (const named of numbers) {
      for (const name of Object.keys(named)) jobs.push(unpackIn(named, name, Float32Array));
    }
  }
  await Promise.all(jobs);
}

const unpackMaps = (frame) =>
  Promise.all(DATA.stages.map((stage) => unpackIn(frame.maps, stage, Uint8Array)));

// Positions in (stage, rule, organ[, slice]) and (organ, slice).
const at3 = (s, r, o) => (s * RULES + r) * ORGANS + o;
const at4 = (s, r, o, n) => at3(s, r, o) * SLICES + n;
const at2 = (o, n) => o * SLICES + n;

const statusOf = (frame, s, r, o, n) => DATA.statuses[frame.status[at4(s, r, o, n)]];
const numberOf = (frame, name, s, r, o, n) =>
  frame.numbers[name] ? frame.numbers[name][at4(s, r, o, n)] : NaN;
const meanOf = (name, e, s, r, o) =>
  DATA.means[name] ? DATA.means[name][e * DATA.stages.length * RULES * ORGANS + at3(s, r, o)] : NaN;
// The mean over the slices at the epoch that is shown, for the region that is shown.
const meanNow = (name, s, r, o) => frame().region
  ? (frame().means[name] ? frame().means[name][at3(s, r, o)] : NaN)
  : meanOf(name, DATA.all_epochs.indexOf(frame().epoch), s, r, o);

// Levels 0..255 of one map, (rows, columns) of its crop; null where it may not be read.
function mapOf(frame, s, r, o, n) {
  if (statusOf(frame, s, r, o, n) !== "ok") return null;
  const stage = DATA.stages[s], factor = DATA.factors[stage];
  const [top, left, height, width] = DATA.boxes[stage];
  const rows = Math.ceil(height / factor), columns = Math.ceil(width / factor);
  let before = 0;
  for (let i = at4(s, 0, 0, 0); i < at4(s, r, o, n); i++) before += frame.status[i] === 0;
  const size = rows * columns;
  const levels = frame.maps[stage].subarray(before * size, (before + 1) * size);
  return { values: levels, rows, columns, top, left, factor, grid: DATA.grids[stage] };
}

// A slice's HU, in the same form as a map.
function ctOf(n) {
  const { levels, box: [top, left, rows, columns], grid } = DATA.ct.slices[n];
  const size = rows * columns, values = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    values[i] = DATA.ct.zero + (levels[i] + 256 * levels[size + i]) * DATA.ct.step;
  }
  return { values, rows, columns, top, left, factor: 1, grid };
}

// The same with blocks of factor x factor cells averaged: what a small picture can show of it.
function coarser(cells, factor) {
  if (factor < 2) return cells;
  const rows = Math.ceil(cells.rows / factor), columns = Math.ceil(cells.columns / factor);
  const values = new Float32Array(rows * columns), counts = new Float32Array(rows * columns);
  for (let i = 0, k = 0; i < cells.rows; i++) for (let j = 0; j < cells.columns; j++, k++) {
    const at = Math.floor(i / factor) * columns + Math.floor(j / factor);
    values[at] += cells.values[k];
    counts[at] += 1;
  }
  return { ...cells, values: values.map((sum, at) => sum / counts[at]), rows, columns, factor };
}

const labelsOf = (labels, n) => labels && labels.subarray(n * HEIGHT * WIDTH,
  (n + 1) * HEIGHT * WIDTH);
const countOf = (labels, channel) => labels ?
  labels.reduce((k, v) => k + holds(v, channel), 0) : NaN;

// With so many digits, and no minus before 0.
const brief = (x, digits = 2) => Number.isFinite(x) ? (Number(x.toFixed(digits)) + 0).toFixed(digits)
  : "–";
const power = (x) => x === 0 ? "0" : !Number.isFinite(x) ? "–"
  : x < 0.01 || x >= 1000 ? x.toExponential(1) : x < 100 ? x.toPrecision(2) : x.toFixed(0);
