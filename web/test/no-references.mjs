// Stands in for `decode-named-character-reference`: a message has no character references.

export function decodeNamedCharacterReference() {
  return false;
}
