// An implementation of SUIT envelopes apart from ours, written from the CDDL of draft-ietf-suit-manifest alone.
// node-cbor (Debian) decodes, node:crypto hashes and verifies.  It prints one line of JSON.
// Usage: node suit_node.js ENVELOPE PUBLIC_KEY.pem...
"use strict";
const { readFileSync } = require("node:fs");
const crypto = require("node:crypto");
const cbor = require("cbor");

const HASHES = new Map([[-16, "sha256"], [-43, "sha384"], [-44, "sha512"]]);
const NUMBERS = new Map([[-7, "ec"], [-9, "ec"], [-35, "ec"], [-51, "ec"], [-36, "ec"], [-52, "ec"], [-8, "ed25519"], [-19, "ed25519"]]);
const EC_HASHES = new Map([[-7, "sha256"], [-9, "sha256"], [-35, "sha384"], [-51, "sha384"], [-36, "sha512"], [-52, "sha512"]]);
const CURVES = new Map([["sha256", "prime256v1"], ["sha384", "secp384r1"], ["sha512", "secp521r1"]]);
const SEVERABLE = [14, 15, 16, 18, 20, 23];

const decode = (data) => cbor.decodeFirstSync(data, { extendedResults: false, preventDuplicateKeys: true });
// The digest of a manifest or severable member covers its byte string, head included.
const wrapped = (data) => cbor.encodeOne(data, { highWaterMark: 1 << 24 });
const matches = ([algorithm, value], data) =>
  HASHES.has(algorithm) && crypto.createHash(HASHES.get(algorithm)).update(data).digest().equals(value);

function signed(block, digest, keys) {
  const found = decode(block);
  if (!(found instanceof cbor.Tagged) || found.tag !== 18) return [`tag ${found.tag}`, "not COSE_Sign1"];
  const [protectedHeader, , payload, signature] = found.value;
  if (payload !== null) return ["?", "payload not detached"];
  const number = decode(protectedHeader).get(1);
  const structure = cbor.encodeOne(["Signature1", protectedHeader, Buffer.alloc(0), digest], { highWaterMark: 1 << 24 });
  const kind = NUMBERS.get(number);
  if (kind === undefined) return [number, "unknown algorithm"];
  const good = keys.some((key) => {
    if (key.asymmetricKeyType !== kind) return false;
    if (kind === "ed25519") return crypto.verify(null, structure, key, signature);
    const hash = EC_HASHES.get(number);
    if (key.asymmetricKeyDetails.namedCurve !== CURVES.get(hash)) return false;
    return crypto.verify(hash, structure, { key, dsaEncoding: "ieee-p1363" }, signature);
  });
  return [number, good ? "good" : "bad"];
}

function sequence(data, visit) {
  const flat = decode(data);
  for (let i = 0; i < flat.length; i += 2) {
    visit(flat[i], flat[i + 1]);
    if (flat[i] === 15) flat[i + 1].filter((inner) => inner !== null).forEach((inner) => sequence(inner, visit));
    if (flat[i] === 32) sequence(flat[i + 1], visit);
  }
}

// What the manifest names anywhere as image-digest and as URI; a payload must have one of each.
function named(manifest, bodies) {
  const found = { digests: [], uris: [] };
  const visit = (number, argument) => {
    if (number !== 20 && number !== 19) return;
    if (argument.has(3)) found.digests.push(decode(argument.get(3)));
    if (argument.has(21)) found.uris.push(argument.get(21));
  };
  const common = decode(manifest.get(3));
  if (common.has(4)) sequence(common.get(4), visit);
  [7, 8, 9, 15, 16, 18, 20, 24].filter((n) => bodies.has(n)).forEach((n) => sequence(bodies.get(n), visit));
  return found;
}

function judge(file, keys) {
  let envelope = decode(readFileSync(file));
  if (envelope instanceof cbor.Tagged) {
    if (envelope.tag !== 107) throw new Error(`tag ${envelope.tag}`);
    envelope = envelope.value;
  }
  const [digest, ...blocks] = decode(envelope.get(2));
  const said = { manifest: matches(decode(digest), wrapped(envelope.get(3))), members: {}, payloads: {} };
  const manifest = decode(envelope.get(3));
  const bodies = new Map([...manifest].filter(([, value]) => Buffer.isBuffer(value)));
  for (const number of SEVERABLE) {
    const value = manifest.get(number);
    if (!Array.isArray(value)) continue;
    if (!envelope.has(number)) { said.members[number] = "severed"; continue; }
    said.members[number] = matches(value, wrapped(envelope.get(number))) ? "good" : "bad";
    bodies.set(number, envelope.get(number));
  }
  const { digests, uris } = named(manifest, bodies);
  const hasDependencies = decode(manifest.get(3)).has(1);
  for (const [label, value] of envelope) {
    if (typeof label !== "string") continue;
    // The digest of a dependency (trust domains) is that of the manifest in its envelope.
    const content = hasDependencies && value[0] === 0xd8 ? wrapped(decode(value).value.get(3)) : value;
    said.payloads[label] = uris.includes(label) && digests.some((one) => matches(one, content)) ? "good" : "bad";
  }
  said.sequence_number = manifest.get(2);
  said.blocks = blocks.map((block) => signed(block, digest, keys));
  const bad = Object.values({ ...said.members, ...said.payloads }).includes("bad");
  said.accepted = said.manifest && !bad && said.blocks.some(([, word]) => word === "good");
  return said;
}

try {
  const keys = process.argv.slice(3).map((path) => crypto.createPublicKey(readFileSync(path)));
  console.log(JSON.stringify(judge(process.argv[2], keys)));
} catch (error) {
  console.log(JSON.stringify({ accepted: false, error: String(error.message) }));
}
