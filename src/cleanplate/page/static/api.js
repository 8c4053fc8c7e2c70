// Requests to the server. Failures become a Problem with a message for the user.

export class Problem extends Error {
  constructor(message, status = 0) {
    super(message.charAt(0).toUpperCase() + message.slice(1));
    this.status = status;
  }
}

const UNREACHABLE =
  "the page cannot reach its server; check that it is running. Retrying";

// `body` is a file, or a value that is sent as JSON.
export async function send(method, path, body) {
  const headers = { "X-Cleanplate": "1" };
  const isFile = body instanceof Blob;
  if (body !== undefined && !isFile) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: isFile ? body : body && JSON.stringify(body) });
  } catch {
    throw new Problem(UNREACHABLE);
  }
  if (!answer.ok) throw new Problem(await readProblem(answer), answer.status);
  return answer;
}

export const ask = async (method, path, body) => (await send(method, path, body)).json();

async function readProblem(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `the server answered with status ${answer.status}; try again`;
  }
}

// Upload a video. `listen` gets the fraction sent, 0 to 1; `stop.now()` aborts.
export function upload(file, listen, stop) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/clips?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("X-Cleanplate", "1");
    request.responseType = "json";
    request.upload.onprogress = (event) => listen(event.loaded / file.size);
    request.onload = () =>
      request.status === 201
        ? resolve(request.response)
        : reject(new Problem(request.response?.error ?? UNREACHABLE, request.status));
    request.onerror = () => reject(new Problem("the upload was interrupted; try again"));
    request.onabort = () => resolve(null);
    stop.now = () => request.abort();
    request.send(file);
  });
}
