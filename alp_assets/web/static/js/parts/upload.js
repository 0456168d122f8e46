// A file sent piece by piece, so that a lost connection costs one piece and not the whole file.

import { get, post, query, request, Unreachable } from "../core/api.js";

const PIECE = 4 * 2 ** 20;
const WAITS_S = [1, 2, 4, 8, 16, 30];

/**
 * Send a file for a package. An earlier upload of the same file that was cut off goes on where it stopped.
 * `told({sent, bytes, waiting})` hears of the progress. Resolves to the upload when all of it is there.
 */
export async function send(file, { customer, name, limits, told, signal }) {
  const upload =
    (await unfinished(file, customer, name)) ??
    (await post("/uploads", { customer, package: name, filename: file.name, bytes: file.size }, { signal }));
  const piece = Math.min(PIECE, limits?.chunk_bytes ?? PIECE);
  let sent = upload.offset ?? 0;
  let lost = 0;
  told({ sent, bytes: file.size, upload });
  while (sent < file.size) {
    try {
      const answer = await request("PATCH", `/uploads/${upload.id}`, {
        body: file.slice(sent, sent + piece),
        signal,
        headers: {
          "Content-Type": "application/offset+octet-stream",
          "Upload-Offset": String(sent),
          "Tus-Resumable": "1.0.0",
        },
      });
      sent = Number(answer.headers.get("Upload-Offset"));
      lost = 0;
    } catch (error) {
      const passing = error instanceof Unreachable || [409, 429, 503].includes(error.status);
      if (!passing || lost >= WAITS_S.length) throw error;
      told({ sent, bytes: file.size, waiting: true, upload });
      await pause(error.retryAfter ?? WAITS_S[lost], signal);
      lost += 1;
      sent = await offset(upload.id, sent);
    }
    told({ sent, bytes: file.size, upload });
  }
  return upload;
}

/** Ask for the check of an upload and wait for its end; `told(check)` hears of its progress. */
export async function check(id, told, signal) {
  let found = await post(query(`/uploads/${id}/check`, { wait: 5 }), undefined, { signal });
  while (found.state === "running") {
    told(found);
    found = await get(query(`/uploads/${id}/check`, { wait: 5 }), { signal });
  }
  return found;
}

async function unfinished(file, customer, name) {
  const { uploads } = await get("/uploads");
  return uploads.find(
    (item) =>
      item.customer === customer &&
      item.package === name &&
      item.filename === file.name &&
      item.bytes === file.size,
  );
}

async function offset(id, before) {
  try {
    const answer = await request("HEAD", `/uploads/${id}`, { headers: { "Tus-Resumable": "1.0.0" } });
    return Number(answer.headers.get("Upload-Offset"));
  } catch (error) {
    if (error instanceof Unreachable) return before;
    throw error;
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
