// The microphone, recorded without compression: lossy formats remove what the models listen for.

/** Records until `stop()`; `told({seconds, level})` hears of the length and the level (0 to 1) as it grows. */
export class Recorder {
  #blocks = [];
  #length = 0;
  #stream;
  #context;

  constructor(told) {
    this.told = told;
  }

  /** Ask for the microphone and begin. Throws NotAllowedError or NotFoundError as the browser does. */
  async start() {
    // cleaning meant for speech takes a machine's steady sound for noise and removes it
    this.#stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    this.#context = new AudioContext();
    await this.#context.audioWorklet.addModule(new URL("./recorder-worklet.js", import.meta.url));
    const tap = new AudioWorkletNode(this.#context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => this.#keep(data);
    this.#context.createMediaStreamSource(this.#stream).connect(tap);
  }

  /** End the recording; {samples, rate}. */
  async stop() {
    const rate = this.#context?.sampleRate ?? 0;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    await this.#context?.close();
    const samples = new Float32Array(this.#length);
    let at = 0;
    for (const block of this.#blocks) {
      samples.set(block, at);
      at += block.length;
    }
    return { samples, rate };
  }

  #keep(block) {
    this.#blocks.push(block);
    this.#length += block.length;
    let peak = 0;
    for (const value of block) peak = Math.max(peak, Math.abs(value));
    this.told({ seconds: this.#length / this.#context.sampleRate, level: peak });
  }
}
