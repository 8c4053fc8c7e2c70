// Cache of frames and masks by address: newest request first, oldest picture evicted first.

const KEPT = 80e6; // cache limit in pixels of four bytes
const AT_ONCE = 6;

const kept = new Map(); // address → ImageBitmap
let pixels = 0; // in the cache
const loading = new Map(); // address → promise
let wishes = []; // queued requests {address, tint, resolve}, most urgent last

// Return the picture if it is in the cache.
export const peek = (address) => kept.get(address);

// Return the picture from the cache or the server; null on failure. `tint` turns white into that
// colour and black into transparent; "cut" turns only black into transparent.
export function load(address, tint) {
  if (kept.has(address)) return Promise.resolve(touch(address));
  const wish = wishes.find((one) => one.address === address);
  if (wish) {
    wishes = [...wishes.filter((one) => one !== wish), wish];
    return wish.promise;
  }
  if (loading.has(address)) return loading.get(address);
  const fresh = { address, tint };
  fresh.promise = new Promise((resolve) => (fresh.resolve = resolve));
  wishes.push(fresh);
  serve();
  return fresh.promise;
}

// Drop requests that are no longer needed, such as frames that were scrubbed over.
export function forget(wanted) {
  for (const wish of wishes.filter((one) => !wanted.has(one.address))) wish.resolve(null);
  wishes = wishes.filter((one) => wanted.has(one.address));
}

function touch(address) {
  const picture = kept.get(address);
  kept.delete(address);
  kept.set(address, picture);
  return picture;
}

function serve() {
  while (loading.size < AT_ONCE && wishes.length) {
    const wish = wishes.pop();
    loading.set(wish.address, wish.promise);
    read(wish).then((picture) => {
      loading.delete(wish.address);
      if (picture) keep(wish.address, picture);
      wish.resolve(picture);
      serve();
    });
  }
}

async function read({ address, tint }) {
  try {
    const answer = await fetch(address);
    if (!answer.ok) return null;
    const picture = await createImageBitmap(await answer.blob());
    if (tint === "cut") return await cut(picture);
    return tint ? await colour(picture, tint) : picture;
  } catch {
    return null;
  }
}

function keep(address, picture) {
  kept.set(address, picture);
  pixels += picture.width * picture.height;
  for (const [oldest, other] of kept) {
    if (pixels <= KEPT || oldest === address) return;
    kept.delete(oldest); // do not close it: it may be on screen
    pixels -= other.width * other.height;
  }
}

// Turn black into transparent.
async function cut(picture) {
  const image = readImage(picture);
  const data = image.data;
  for (let at = 0; at < data.length; at += 4) if (!(data[at] | data[at + 1] | data[at + 2])) data[at + 3] = 0;
  return createImageBitmap(image);
}

function readImage(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height);
}

export async function colour(picture, [red, green, blue]) {
  const image = readImage(picture);
  const data = image.data;
  for (let at = 0; at < data.length; at += 4) {
    data[at + 3] = data[at];
    data[at] = red;
    data[at + 1] = green;
    data[at + 2] = blue;
  }
  return createImageBitmap(image);
}
