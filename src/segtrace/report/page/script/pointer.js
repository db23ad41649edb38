// Wheel, drag and pointer over a picture: slices, zoom, the CT's window, and what lies there.
const CLOSEST = 16, NOTCH = 60;
const PICTURES = ["ct", "map", "beside"];
let turned = 0;

// Where a pointer is in a picture, as parts of its width and height.
function partOf(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return { across: (event.clientX - box.left) / box.width, down: (event.clientY - box.top) / box.height };
}

// The place of the crop under it, in pixels of the network's input; the middle without a pointer.
function placeOf({ across, down } = { across: 0.5, down: 0.5 }) {
  const { y, x, height, width } = state.view;
  return { y: y + down * height, x: x + across * width };
}

// A part of the crop so many times closer, in numbers that a link holds exactly.
function part(y, x, closer) {
  const exact = (value) => Number(value.toFixed(3)), times = exact(closer);
  const [height, width] = [HEIGHT / times, WIDTH / times];
  const inside = (value, most) => exact(Math.min(Math.max(value, 0), most));
  return { y: inside(y, HEIGHT - height), x: inside(x, WIDTH - width), closer: times, height, width };
}

// The view so much closer, with the place kept where it is.
function zoom(by) {
  const { view } = state, closer = Math.min(Math.max(view.closer * by, 1), CLOSEST);
  const at = placeOf(state.pointer), kept = view.closer / closer;
  state.view = part(at.y - (at.y - view.y) * kept, at.x - (at.x - view.x) * kept, closer);
}

function turn(canvas, event) {
  const zooming = event.ctrlKey || event.metaKey;
  if (!zooming && SLICES < 2) return;
  event.preventDefault();
  state.pointer = partOf(canvas, event);
  // Some wheels count lines, and a touch pad sends many small steps.
  const by = event.deltaY * (event.deltaMode ? 20 : 1);
  if (zooming) {
    zoom(Math.exp(-by / 250));
    showLarge();
    keepLink();
    return;
  }
  turned = Math.sign(by) === Math.sign(turned) ? turned + by : by;
  if (Math.abs(turned) < NOTCH) return;
  nextSlice(Math.sign(turned), held);
  turned = 0;
  show();
}

// A window that the image has values for, at least a hundredth of the network's wide.
function chooseWindow(low, high) {
  const [least, most] = DATA.ct.clipped ? DATA.window : DATA.ct.range;
  const narrow = (DATA.window[1] - DATA.window[0]) / 100;
  const width = Math.min(Math.max(high - low, narrow), most - least);
  const from = Math.min(Math.max((low + high - width) / 2, least), most - width);
  state.window = [from, from + width].map((x) => DATA.hounsfield ? Math.round(x) : x);
}

// Left: across is the window's width, up its centre; with Shift the closer view is moved.
function drag(canvas, start) {
  if (start.button !== 0) return;
  canvas.setPointerCapture(start.pointerId);
  const [low, high] = state.window, { view } = state, step = (high - low) / 200;
  const box = canvas.getBoundingClientRect();
  const dragged = new AbortController(), { signal } = dragged;
  const end = () => { dragged.abort(); show(); };
  const move = (event) => {
    if (!event.buttons) { end(); return; } // its release was missed
    const [x, y] = [event.clientX - start.clientX, event.clientY - start.clientY];
    if (start.shiftKey) {
      state.view = part(view.y - y / box.height * view.height,
        view.x - x / box.width * view.width, view.closer);
    } else {
      const half = Math.max((high - low) / 2 + x * step / 2, 0), centre = (low + high) / 2 - y * step;
      chooseWindow(centre - half, centre + half);
    }
    showLarge();
    if (!start.shiftKey) $("readout").textContent = `Window ${windowWords()}`;
  };
  canvas.addEventListener("pointermove", move, { signal });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, end, { signal });
}

function listenToPictures() {
  for (const id of PICTURES) {
    const canvas = $(id);
    canvas.addEventListener("wheel", (event) => turn(canvas, event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => drag(canvas, event));
    canvas.addEventListener("pointermove", (event) => {
      state.pointer = partOf(canvas, event);
      if (!event.buttons) showReadout();
    });
    canvas.addEventListener("pointerleave", () => { state.pointer = undefined; showReadout(); });
    canvas.addEventListener("dblclick", () => { state.window = DATA.window; show(); });
  }
}

// What lies under the pointer now: it is said anew whenever anything changes.
function showReadout() {
  $("readout").textContent = state.pointer ? under(placeOf(state.pointer))
    : "Move over a picture: " + (DATA.hounsfield ? "HU" : "grey level") +
      ", place, labels and evidence stand here.";
}

function under({ x, y }) {
  const column = Math.min(Math.max(Math.floor(x), 0), WIDTH - 1);
  const row = Math.min(Math.max(Math.floor(y), 0), HEIGHT - 1);
  const i = row * WIDTH + column, mm = spacing(), value = valueAt(state.ct, y, x);
  const [low, high] = DATA.ct.clipped ? DATA.window : [];
  const words = [(value <= low ? "≤ " : value >= high ? "≥ " : "") + valued(value)];
  const [front, , side] = DATA.ends || ["upper", "lower", "left"];
  words.push(mm
    ? `${brief((x + LEFT) * mm[1], 1)} mm from the ${side} edge, ` +
      `${brief((y + TOP) * mm[0], 1)} mm from the ${front} edge`
    : `column ${column + LEFT}, row ${row + TOP} (pixel size not known)`);
  const name = (labels) => namesOf(labels[i]);
  const truth = labelsOf(DATA.truth, state.slice);
  if (truth) words.push(`truth: ${name(truth)}`);
  words.push(`prediction: ${name(labelsOf(frame().prediction, state.slice))}`);
  const second = besideIt();
  words.push(...[[second ? "left: " : "", shown()], ["right: ", second]]
    .filter(([, look]) => look)
    .map(([which, look]) => which + evidence(look, row + 0.5, column + 0.5)));
  return words.join("  ·  ");
}

function evidence(look, y, x) {
  const map = mapIn(look);
  if (!map) return "no map";
  const level = levelAt(map, y, x);
  return `evidence ${power(level / 255 * peakOf(look))}, ${Math.round(level / 2.55)} % of ` +
    `the map's maximum${level < 2.55 * state.threshold ? " (not painted)" : ""}`;
}
