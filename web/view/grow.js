// Makes the box as high as its text, in browsers whose styles cannot.

/** @param {HTMLTextAreaElement} text */
export function grow(text) {
  const box = text.parentElement;
  if (box) {
    // The messages above must not move while the text is measured.
    box.style.minHeight = `${box.offsetHeight}px`;
    text.style.height = "";
    const { scrollHeight, clientHeight } = text;
    if (scrollHeight > clientHeight) text.style.height = `${scrollHeight}px`;
    box.style.minHeight = "";
  }
}
