// Pictures: CT, evidence over it, contours, letters.

// Which two cells each of `count` pixels reads, and how much of the second.
function taps(count, place, cells) {
  const first = new Int32Array(count), second = new Int32Array(count);
  const weight = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = Math.min(Math.max(place(i), 0), cells - 1);
    first[i] = Math.floor(at);
    second[i] = Math.min(first[i] + 1, cells - 1);
    weight[i] = at - first[i];
  }
  return { first, second, weight };
}

// Bilinear reading (pixel centres, edges held) of rows x columns values at height x width places.
function bilinear(values, columns, y, x) {
  const out = new Float32Array(y.first.length * x.first.length);
  let k = 0;
  for (let i = 0; i < y.first.length; i++) {
    const above = y.first[i] * columns, below = y.second[i] * columns, v = y.weight[i];
    for (let j = 0; j < x.first.length; j++, k++) {
      const a = x.first[j], b = x.second[j], u = x.weight[j];
      const upper = values[above + a] * (1 - u) + values[above + b] * u;
      const lower = values[below + a] * (1 - u) + values[below + b] * u;
      out[k] = upper * (1 - v) + lower * v;
    }
  }
  return out;
}

// Where a row and a column of the network's input lie among cells of another resolution.
const rowIn = (cells, y) => ((TOP + y) * cells.grid[0] / DATA.size[0] - cells.top) / cells.factor;
const columnIn = (cells, x) =>
  ((LEFT + x) * cells.grid[1] / DATA.size[1] - cells.left) / cells.factor;

// Cells of any resolution at the height x width pixels of a picture of a part of the crop.
function sampled(cells, view, height, width) {
  const across = (j) => columnIn(cells, view.x + (j + 0.5) * view.width / width) - 0.5;
  const down = (i) => rowIn(cells, view.y + (i + 0.5) * view.height / height) - 0.5;
  const y = taps(height, down, cells.rows), x = taps(width, across, cells.columns);
  return bilinear(cells.values, cells.columns, y, x);
}

// The same at one place of the crop.
const levelAt = (cells, y, x) => sampled(cells, { y, x, height: 0, width: 0 }, 1, 1)[0];

// The cell that lies under a place of the crop.
function valueAt(cells, y, x) {
  const within = (at, count) => Math.min(Math.max(Math.floor(at), 0), count - 1);
  const row = within(rowIn(cells, y), cells.rows);
  return cells.values[row * cells.columns + within(columnIn(cells, x), cells.columns)];
}

// How opaque a level of 0..255 is.
const cover = (level) => Math.min(1, level / 128);

// Paints the windowed CT; over it the evidence, as opaque as it is strong, if it is above the cut.
function paint(canvas, ct, view, window, overlay) {
  const { width, height } = canvas, context = canvas.getContext("2d");
  const picture = context.createImageData(width, height), pixels = picture.data;
  const seen = ct.rows * view.height / HEIGHT;
  const hu = sampled(coarser(ct, Math.floor(seen / height)), view, height, width);
  const heat = overlay && sampled(overlay.map, view, height, width);
  for (let i = 0; i < hu.length; i++) {
    const shade = 255 * Math.min(Math.max((hu[i] - window[0]) / (window[1] - window[0]), 0), 1);
    const level = heat && heat[i] >= overlay.cut ? Math.min(heat[i] * overlay.share, 255) : 0;
    const part = level && overlay.opacity * cover(level), colour = 3 * Math.round(level);
    for (let c = 0; c < 3; c++) {
      pixels[4 * i + c] = shade * (1 - part) + (DATA.colours[colour + c] || 0) * part;
    }
    pixels[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

// Words in lines that are no wider than so many pixels.
function wrapped(context, words, width) {
  const lines = [];
  for (const word of words.split(" ")) {
    const joined = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && context.measureText(joined).width < width) lines[lines.length - 1] = joined;
    else lines.push(word);
  }
  return lines;
}

function note(canvas, words) {
  const context = canvas.getContext("2d"), { width, height } = canvas;
  context.fillStyle = "rgba(90, 90, 90, 0.82)";
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#fff";
  context.textAlign = "center";
  context.font = `${Math.max(12, Math.round(width / 24))}px sans-serif`;
  const lines = wrapped(context, words, width * 0.9);
  const apart = Math.max(14, width / 18);
  lines.forEach((line, i) =>
    context.fillText(line, width / 2, height / 2 + (i - (lines.length - 1) / 2) * apart));
}

// Closed lines around the pixels of a channel: through the middles of the pixels' outer sides.
function outlines(labels, channel) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < WIDTH && y < HEIGHT &&
    holds(labels[y * WIDTH + x], channel);
  const ends = new Map();
  const side = (x0, y0, x1, y1) => {
    const key = y0 * (WIDTH + 1) + x0;
    if (!ends.has(key)) ends.set(key, []);
    ends.get(key).push([x0, y0, x1, y1]);
  };
  for (let y = 0; y < HEIGHT; y++) for (let x = 0; x < WIDTH; x++) {
    if (!inside(x, y)) continue;
    if (!inside(x, y - 1)) side(x, y, x + 1, y);
    if (!inside(x + 1, y)) side(x + 1, y, x + 1, y + 1);
    if (!inside(x, y + 1)) side(x + 1, y + 1, x, y + 1);
    if (!inside(x - 1, y)) side(x, y + 1, x, y);
  }
  const loops = [];
  for (const sides of ends.values()) while (sides.length) {
    const loop = [];
    for (let next = sides.pop(); next;) {
      const [x0, y0, x1, y1] = next;
      loop.push([(x0 + x1) / 2, (y0 + y1) / 2]);
      next = (ends.get(y1 * (WIDTH + 1) + x1) || []).pop();
    }
    loops.push(loop);
  }
  return loops;
}

function contour(canvas, view, labels, channel, colour, dashed) {
  const context = canvas.getContext("2d"), thick = Math.max(1.5, canvas.width / 260);
  context.beginPath();
  for (const loop of outlines(labels, channel)) {
    loop.forEach(([x, y], i) => {
      const place = [(x - view.x) * canvas.width / view.width,
        (y - view.y) * canvas.height / view.height];
      if (i) context.lineTo(...place); else context.moveTo(...place);
    });
    context.closePath();
  }
  context.setLineDash([]);
  context.strokeStyle = "rgba(0, 0, 0, 0.6)";
  context.lineWidth = thick * 2;
  if (!dashed) context.stroke();
  context.strokeStyle = `rgb(${colour})`;
  context.lineWidth = thick;
  if (dashed) context.setLineDash([4 * thick, 3 * thick]);
  context.stroke();
  context.setLineDash([]);
}

// Patient sides where they are known, and a bar of millimetres where the pixels' size is.
function letters(canvas, view, spacing) {
  const context = canvas.getContext("2d"), { width, height } = canvas;
  const size = Math.max(12, Math.round(width / 26));
  const write = (words, x, y, align) => {
    context.textAlign = align;
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.strokeText(words, x, y);
    context.fillStyle = "#fff";
    context.fillText(words, x, y);
  };
  context.font = `bold ${size}px sans-serif`;
  if (DATA.ends) {
    const [top, bottom, left, right] = DATA.ends;
    write(left, 5, height / 2 + size / 3, "left");
    write(right, width - 5, height / 2 + size / 3, "right");
    write(top, width / 2, size + 2, "center");
    write(bottom, width / 2, height - 5, "center");
  }
  if (!spacing) return;
  const scale = width / view.width / spacing[1];
  const mm = [50, 20, 10, 5, 2, 1].find((long) => long * scale < width * 0.7) || 1;
  context.fillStyle = "#fff";
  context.fillRect(8, height - 9, mm * scale, 3);
  context.font = `${Math.round(size * 0.8)}px sans-serif`;
  write(`${mm} mm`, 8, height - 14, "left");
}
