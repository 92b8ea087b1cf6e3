"use strict";
// Tens of thousands of points on a canvas, pixel by pixel: quick with or without WebGL. And which point is where.

class Plane {
  constructor(canvas, x, y) {
    Object.assign(this, {canvas, x, y, zoom: 1, middle: [0, 0]});
    let wide = 1e-6, high = 1e-6;
    for (let i = 0; i < x.length; i++) { wide = Math.max(wide, Math.abs(x[i])); high = Math.max(high, Math.abs(y[i])); }
    this.reach = [wide, high];
    this.fit();
    this.sort();
  }

  fit() { // the canvas to its place on the page
    const box = this.canvas.getBoundingClientRect();
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    this.width = Math.max(1, Math.round(box.width * this.ratio));
    this.height = Math.max(1, Math.round(box.height * this.ratio));
  }

  get scale() { // device pixels for one unit
    const margin = 18 * this.ratio;
    const whole = Math.min((this.width / 2 - margin) / this.reach[0], (this.height / 2 - margin) / this.reach[1]);
    return Math.max(1, whole) * this.zoom;
  }

  get radius() { // of a point in device pixels: fewer points are larger, and all grow as one comes nearer
    const share = 0.2 * Math.sqrt(this.width * this.height / this.x.length);
    return Math.min(9, Math.max(1.3, Math.min(4.5, share / this.ratio)) * this.zoom ** 0.35) * this.ratio;
  }

  at(i) { return this.place(this.x[i], this.y[i]); }
  place(x, y) {
    return [(x - this.middle[0]) * this.scale + this.width / 2, this.height / 2 - (y - this.middle[1]) * this.scale];
  }
  from(px, py) {
    return [(px - this.width / 2) / this.scale + this.middle[0], (this.height / 2 - py) / this.scale + this.middle[1]];
  }

  magnify(factor, px = this.width / 2, py = this.height / 2) { // what is under (px, py) stays there
    const before = this.from(px, py);
    this.zoom = Math.min(200, Math.max(1, this.zoom * factor));
    const after = this.from(px, py);
    this.move(before[0] - after[0], before[1] - after[1]);
  }
  move(dx, dy) {
    this.middle = [dx, dy].map((d, k) => Math.max(-this.reach[k], Math.min(this.reach[k], this.middle[k] + d)));
    if (this.zoom === 1) this.middle = [0, 0];
  }

  draw(of, colours, visible, background) { // groups' colours as [r, g, b]
    const {width, height, canvas, x, y} = this;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const image = new ImageData(width, height), pixels = image.data;
    new Uint32Array(pixels.buffer).fill(new Uint32Array(new Uint8Array([...background, 255]).buffer)[0]);
    const radius = this.radius, reach = Math.ceil(radius), stamp = [];
    const opacity = x.length > 20000 ? 0.7 : 0.85;
    for (let v = -reach; v <= reach; v++) for (let u = -reach; u <= reach; u++) {
      const covered = opacity * Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(u, v)));
      if (covered > 0) stamp.push(u, v, covered);
    }
    const n = x.length, stride = coprime(n), scale = this.scale;
    const left = width / 2 - this.middle[0] * scale, top = height / 2 + this.middle[1] * scale;
    for (let k = 0, i = 0; k < n; k++, i = (i + stride) % n) { // in no order, so that no group covers the others
      if (!visible[of[i]]) continue;
      const px = Math.round(x[i] * scale + left), py = Math.round(top - y[i] * scale);
      if (px < -reach || py < -reach || px >= width + reach || py >= height + reach) continue;
      const [r, g, b] = colours[of[i]];
      for (let s = 0; s < stamp.length; s += 3) {
        const u = px + stamp[s], v = py + stamp[s + 1];
        if (u < 0 || v < 0 || u >= width || v >= height) continue;
        const p = 4 * (v * width + u), a = stamp[s + 2];
        pixels[p] += (r - pixels[p]) * a; pixels[p + 1] += (g - pixels[p + 1]) * a; pixels[p + 2] += (b - pixels[p + 2]) * a;
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  sort() { // points by cells of a grid, for `near`
    const n = this.x.length, cells = this.cells = Math.max(1, Math.min(256, Math.ceil(Math.sqrt(n / 4))));
    this.first = new Uint32Array(cells * cells + 1);
    const cell = Array.from(this.x, (_, i) => this.cell(this.x[i], 0) + cells * this.cell(this.y[i], 1));
    for (const c of cell) this.first[c + 1]++;
    for (let c = 0; c < cells * cells; c++) this.first[c + 1] += this.first[c];
    const next = this.first.slice();
    this.sorted = new Uint32Array(n);
    cell.forEach((c, i) => { this.sorted[next[c]++] = i; });
  }
  cell(value, axis) {
    const place = (value / this.reach[axis] + 1) / 2 * this.cells;
    return Math.max(0, Math.min(this.cells - 1, Math.floor(place)));
  }

  near(px, py, within, shown) { // the nearest point that is shown, at most `within` device pixels away; else -1
    const [x, y] = this.from(px, py), d = within / this.scale;
    let best = d * d, found = -1;
    for (let row = this.cell(y - d, 1); row <= this.cell(y + d, 1); row++)
      for (let column = this.cell(x - d, 0); column <= this.cell(x + d, 0); column++) {
        const c = row * this.cells + column;
        for (let k = this.first[c]; k < this.first[c + 1]; k++) {
          const i = this.sorted[k], square = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
          if (square <= best && shown(i)) { best = square; found = i; }
        }
      }
    return found;
  }

  towards(i, dx, dy, shown) { // the nearest point in a direction, within 60 degrees of it; else -1
    let best = Infinity, found = -1;
    for (let j = 0; j < this.x.length; j++) {
      const u = this.x[j] - this.x[i], v = this.y[j] - this.y[i], far = Math.hypot(u, v);
      if (far > 0 && far < best && u * dx + v * dy > far / 2 && shown(j)) { best = far; found = j; }
    }
    return found;
  }
}

function coprime(n) { // a stride that meets every one of n
  const divides = (a, b) => (b ? divides(b, a % b) : a);
  let stride = Math.max(1, Math.floor(n * 0.618));
  while (divides(stride, n) !== 1) stride++;
  return stride;
}
