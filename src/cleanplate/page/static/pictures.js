// Frames and masks by address: loaded once, the latest wish first, the oldest forgotten.

const KEPT = 80e6; // pixels; four bytes each
const AT_ONCE = 6;

const kept = new Map(); // address → ImageBitmap
let pixels = 0; // of all that is kept
const loading = new Map(); // address → promise
let wishes = []; // {address, tint, resolve}, the most urgent last

// The picture if it is there already.
export const peek = (address) => kept.get(address);

// The picture, loaded if need be; null when it cannot be had. `tint` turns white into that colour
// and black into nothing.
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

// Drops wishes that nobody waits for any more, such as frames that were scrubbed over.
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
    kept.delete(oldest); // not closed: it may be on the screen
    pixels -= other.width * other.height;
  }
}

export async function colour(picture, [red, green, blue]) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const image = context.getImageData(0, 0, picture.width, picture.height);
  const data = image.data;
  for (let at = 0; at < data.length; at += 4) {
    data[at + 3] = data[at];
    data[at] = red;
    data[at + 1] = green;
    data[at + 2] = blue;
  }
  return createImageBitmap(image);
}
