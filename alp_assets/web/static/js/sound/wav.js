// Sound samples as a WAV file, which every program reads and nothing is lost in.

/** A mono PCM16 WAV of samples from -1 to 1, as a Blob. */
export function encodeWav(samples, rate) {
  const bytes = new ArrayBuffer(44 + 2 * samples.length);
  const view = new DataView(bytes);
  const text = (at, letters) =>
    [...letters].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  for (let place = 0; place < samples.length; place += 1) {
    const value = Math.max(-1, Math.min(1, samples[place]));
    view.setInt16(44 + 2 * place, Math.round(value * (value < 0 ? 0x8000 : 0x7fff)), true);
  }
  return new Blob([bytes], { type: "audio/wav" });
}
