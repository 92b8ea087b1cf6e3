"use strict";
// The images of the page by number: their names and groups, their neighbours, and thumbnails cut from the sheets.

const atlas = (() => {
  const data = JSON.parse(document.getElementById("atlas").textContent);
  const unpack = ({type, data}) => {
    const text = atob(data), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new window[type](bytes.buffer);
  };
  for (const key of ["x", "y", "near", "cosine"]) data[key] = unpack(data[key]);
  for (const group of data.groups) group.of = unpack(group.of);
  data.neighbours = i => Array.from(data.near.subarray(i * data.count, (i + 1) * data.count));
  data.cosines = i => Array.from(data.cosine.subarray(i * data.count, (i + 1) * data.count), c => c / 32767);
  return data;
})();

const sheets = new Map(); // decoded once each, when first needed

function sheet(number) {
  if (!sheets.has(number)) {
    const image = new Image();
    image.src = "data:image/webp;base64," + document.getElementById("sheet" + number).textContent;
    sheets.set(number, image.decode().then(() => image));
  }
  return sheets.get(number);
}

function thumb(i) {
  const {side, across} = atlas, canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas.className = side <= 16 ? "exact" : "";
  canvas.dataset.shows = i;
  const place = i % (across * across);
  sheet(Math.floor(i / (across * across))).then(image => canvas.getContext("2d").drawImage(
    image, (place % across) * side, Math.floor(place / across) * side, side, side, 0, 0, side, side));
  return canvas;
}

const arriving = new IntersectionObserver(entries => {
  for (const {isIntersecting, target} of entries) if (isIntersecting) {
    arriving.unobserve(target);
    target.append(thumb(Number(target.dataset.image)));
  }
}, {rootMargin: "300px"});
for (const place of document.querySelectorAll(".thumb")) arriving.observe(place);
