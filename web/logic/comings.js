// Who came and went, in one line for all between two messages.

/** @typedef {{ afterSeq: number, came: string[], went: string[] }} Coming */

export class Comings {
  /** @type {Coming[]} */
  lines = [];

  /**
   * @param {string} user
   * @param {boolean} isOnline
   * @param {number} afterSeq the last message before it
   */
  add(user, isOnline, afterSeq) {
    let line = this.lines.at(-1);
    if (line?.afterSeq !== afterSeq) {
      line = { afterSeq, came: [], went: [] };
      this.lines.push(line);
      this.lines.splice(0, this.lines.length - LINES_MAX);
    }
    const [now, before] = isOnline ? [line.came, line.went] : [line.went, line.came];
    const opposite = before.indexOf(user);
    if (opposite >= 0) {
      // Away and back again is no news.
      before.splice(opposite, 1);
    } else if (!now.includes(user)) {
      now.push(user);
    }
    if (line.came.length === 0 && line.went.length === 0) {
      this.lines.pop();
    }
  }

  clear() {
    this.lines = [];
  }
}

const LINES_MAX = 50;
