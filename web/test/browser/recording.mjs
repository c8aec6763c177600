// An animated WebP of a page, frame by frame. The browser encodes the frames; this file
// puts them into one container (https://developers.google.com/speed/webp/docs/riff_container),
// so that no other program is needed.

export class Recording {
  #browser;
  /** @type {{ picture: Buffer, ms: number }[]} */
  #frames = [];

  /** @param {any} page */
  static async of(page) {
    return new Recording(await page.context().newCDPSession(page));
  }

  /** @param {any} browser */
  constructor(browser) {
    this.#browser = browser;
  }

  /**
   * Adds the page as it looks now. What looks like the last frame makes that longer.
   * @param {number} ms how long it is shown
   */
  async frame(ms) {
    const { data } = await this.#browser.send("Page.captureScreenshot", { format: "webp", quality: 60 });
    const picture = Buffer.from(data, "base64");
    const last = this.#frames.at(-1);
    if (last?.picture.equals(picture)) {
      last.ms += ms;
    } else {
      this.#frames.push({ picture, ms });
    }
  }

  /** @returns {Buffer} the file, which plays again and again */
  webp() {
    const [first] = this.#frames;
    if (!first) throw new Error("there is no frame");
    const { width, height } = sizeOf(first.picture);
    const size = Buffer.concat([uint24(width - 1), uint24(height - 1)]);
    const ANIMATED = 0x02;
    const frames = this.#frames.map(({ picture, ms }) => {
      const DO_NOT_BLEND = 0x02;
      return chunk("ANMF", Buffer.concat([uint24(0), uint24(0), size, uint24(ms), Buffer.from([DO_NOT_BLEND]), imageOf(picture)]));
    });
    const all = [chunk("VP8X", Buffer.concat([Buffer.from([ANIMATED, 0, 0, 0]), size])), chunk("ANIM", Buffer.alloc(6)), ...frames];
    return chunk("RIFF", Buffer.concat([Buffer.from("WEBP"), ...all]));
  }
}

/** @param {Buffer} picture a file with one picture */
function chunksOf(picture) {
  const chunks = [];
  for (let at = 12; at + 8 <= picture.length; ) {
    const length = picture.readUInt32LE(at + 4);
    chunks.push({ kind: picture.toString("latin1", at, at + 4), content: picture.subarray(at + 8, at + 8 + length) });
    at += 8 + length + (length % 2);
  }
  return chunks;
}

/** The chunks of a picture's pixels. */
function imageOf(picture) {
  const chunks = chunksOf(picture).filter(({ kind }) => ["ALPH", "VP8 ", "VP8L"].includes(kind));
  return Buffer.concat(chunks.map(({ kind, content }) => chunk(kind, content)));
}

/** The size in the header of lossy pixels (RFC 6386 §9.1). */
function sizeOf(picture) {
  const lossy = chunksOf(picture).find(({ kind }) => kind === "VP8 ");
  if (!lossy) throw new Error("the browser made a picture that is not lossy");
  return { width: lossy.content.readUInt16LE(6) & 0x3fff, height: lossy.content.readUInt16LE(8) & 0x3fff };
}

/**
 * @param {string} kind
 * @param {Buffer} content
 */
function chunk(kind, content) {
  const head = Buffer.alloc(8);
  head.write(kind, "latin1");
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content, Buffer.alloc(content.length % 2)]);
}

/** @param {number} value */
function uint24(value) {
  const bytes = Buffer.alloc(3);
  bytes.writeUIntLE(value, 0, 3);
  return bytes;
}
