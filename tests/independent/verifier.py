"""A second verifier of Sealwright evidence: ``python verifier.py IMAGE EVIDENCE TRUST``.

Written from docs/spec alone. With key sets (all are demanded) and formats but ``raw``: "approved", without 35 and 36.
"""

import base64
import hashlib
import json
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

# fmt: off
Doc = dict[str, Any]
SPEC = Path(__file__).resolve().parents[2] / "docs/spec"
SCHEMAS = {path.name.split(".")[0]: json.loads(path.read_text()) for path in (SPEC / "schemas").glob("*.json")}
RANGES = re.findall(r"(?m)^\| U\+(\w+) \| U\+(\w+) \|", (SPEC / "canonical-form.md").read_text())
FORBIDDEN = "[" + "".join(f"\\U{low:0>8}-\\U{high:0>8}" for low, high in RANGES) + "]"
EDWARDS, LATTICE = map(bytes.fromhex, ("302a300506032b6570032100", "30820532300b06096086480165030403110382052100"))
P, LOW_Y, WHOLE = 2**255 - 19, 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826, ("ed", "ml")
KEYS: Doc = {"rsa": "RSA", "ecd": "EC", "ed2": "Ed25519"} | {f"ml-dsa-{n}": f"MLDSA{n}" for n in (44, 65, 87)}
SSH = {  # algorithm inside an SSH signature: its name in signatures.md
    "ssh-ed25519": "ed25519", "sk-ssh-ed25519@openssh.com": "ed25519", "ecdsa-sha2-nistp256": "ecdsa-p256-sha256",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ecdsa-p256-sha256", "ecdsa-sha2-nistp384": "ecdsa-p384-sha384",
    "ecdsa-sha2-nistp521": "ecdsa-p521-sha512", "rsa-sha2-256": "rsa-pkcs1-sha256", "rsa-sha2-512": "rsa-pkcs1-sha512"}
def need(holds: object, what: object, how: str = "malformed") -> None:
    if not holds:
        raise ValueError(f"{how}: {what}")
def hold(page: str, checks: dict[int, object]) -> None:  # or a refusal that quotes the first that does not
    for n in sorted(number for number, good in checks.items() if not good):
        raise ValueError(f"{page} {n}: " + re.findall(rf"(?m)^{n}\. (.*)", (SPEC / f"{page}.md").read_text())[-1])
def passes(check: Any, *arguments: object) -> bool:
    with suppress(Exception):  # whatever goes wrong in a check, it did not pass
        return [check(*arguments)] != []
    return False
def sha256(*parts: bytes) -> bytes: return hashlib.sha256(b"".join(parts)).digest()
def encode64(data: bytes) -> str: return base64.b64encode(data).decode()
def decode64(text: str) -> bytes:
    need(encode64(base64.b64decode(text, validate=True)) == text, "base64 that does not encode back to itself")
    return base64.b64decode(text)
def spell(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=encode64).encode()
def legal(value: object, room: int = 16) -> bool:  # what comparing bytes does not find
    if isinstance(value, dict | list):
        names, items = (value, value.values()) if isinstance(value, dict) else ((), value)
        return room > 0 and all(re.fullmatch("[ -~]*", n) for n in names) and all(legal(i, room - 1) for i in items)
    return not re.search(FORBIDDEN, value) if isinstance(value, str) else isinstance(value, int) and 0 <= value < 2**53
def shaped(value: Any, schema: Doc, whole: Doc) -> Any:  # the value with its base64 decoded, if it has the shape
    schema = whole["$defs"][schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
    kinds = {"object": dict, "array": list, "integer": int, "string": str, "boolean": bool, None: type(value)}
    choices = [(type(choice), choice) for choice in schema.get("enum", [schema.get("const", value)])]
    bounds = {"min": 0, "max": 2**53} | {name[:3]: schema[name] for name in schema if name[:3] in ("min", "max")}
    need(type(value) is kinds[schema.get("type")] and (type(value), value) in choices, schema)
    size, pattern = value if isinstance(value, int) else len(value), schema.get("pattern", "(?s:.*)")
    need(bounds["min"] <= size <= bounds["max"] and re.fullmatch(pattern, str(value)), schema)
    if "items" in schema:
        return [shaped(item, schema["items"], whole) for item in value]
    if "properties" in schema:
        need({*schema["required"]} <= value.keys() <= schema["properties"].keys(), schema["required"])
        return {name: shaped(value[name], schema["properties"][name], whole) for name in value}
    return decode64(value) if "contentEncoding" in schema else value
def document(data: bytes, name: str, limit: int = 1 << 20) -> Any:
    value: Any = json.loads(data.decode()) if len(data) <= limit else None
    need(legal(value) and spell(value) == data, f"{name} is not canonical JSON")
    return shaped(value, SCHEMAS[name or value["type"]], SCHEMAS[name or value["type"]])
def load(key: bytes) -> Any: return serialization.load_der_public_key(key)
def spki(public: Any) -> bytes:
    return bytes(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
def strings(data: bytes, count: int) -> tuple[list[bytes], bytes]:  # so many RFC 4251 strings and what is left
    found: list[bytes] = []
    for _ in range(count):
        need((end := 4 + int.from_bytes(data[:4])) <= len(data), "SSH string")
        found, data = [*found, data[4:end]], data[end:]
    return found, data
def joined(*parts: bytes) -> bytes: return b"".join(len(part).to_bytes(4) + part for part in parts)
def der(tag: int, *parts: bytes) -> bytes:
    size = (length := len(b"".join(parts))).to_bytes((length.bit_length() + 7) // 8)
    return b"".join([bytes([tag, length] if length < 128 else [tag, 128 + len(size), *size]), *parts])
def point(key: bytes) -> bool:  # an Ed25519 key that is not refused
    return (y := int.from_bytes(key, "little") % 2**255) < P and y not in (0, 1, P - 1, LOW_Y, P - LOW_Y)
def ssh_key(text: str) -> tuple[bytes, Any, bytes | None]:  # blob, bare public key and FIDO application
    kind, _, encoded = text.partition(" ")
    blob, bare, application = decode64(encoded), decode64(encoded), None
    plain = kind.removeprefix("sk-").removesuffix("@openssh.com")
    if kind != plain:
        (name, *parts, application), left = strings(blob, 4 if "ecdsa" in kind else 3)
        bare = joined(plain.encode(), *parts)
        need(name == kind.encode() and not left and len(application) < 256 and application.isascii(), "SSH key")
    public: Any = serialization.load_ssh_public_key(line := f"{plain} {encode64(bare)}".encode())
    again = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    need(kind in (*SSH, "ssh-rsa") and again == line and len(blob) <= 16384, "SSH key")
    need(plain != "ssh-ed25519" or point(bare[-32:]), "Ed25519 point")
    need(plain != "ssh-rsa" or (2048 <= public.key_size <= 8192 and public.public_numbers().e < 2**64), "RSA key")
    return blob, public, application
def sshsig(authenticator: Doc, namespace: str, message: bytes, signature: bytes) -> None:
    blob, public, application = ssh_key(authenticator["key"])
    (key, space, reserved, name, inner), end = strings(signature[10:], 5)
    (kind,), ((algorithm, value), left) = strings(blob, 1)[0], strings(inner, 2)
    need(signature[:10] == b"SSHSIG\0\0\0\1" and not end and name in (b"sha256", b"sha512"), "SSHSIG")
    need((key, space, reserved) == (blob, namespace.encode(), b"") and len(signature) <= 16384, "SSHSIG")
    need(algorithm.startswith(b"rsa-sha2-") if kind == b"ssh-rsa" else algorithm == kind, "algorithm of SSHSIG")
    signed = b"SSHSIG" + joined(space, b"", name, hashlib.new(name.decode(), message).digest())
    if application is not None:
        verified = left[0] & 4 or not authenticator.get("user_verification")
        need(application == b"ssh:" and len(left) == 5 and left[0] & 1 and verified, "FIDO flags or application")
        signed, left = sha256(application) + left + sha256(signed), b""
    if b"ecdsa" in kind:
        (r, s), end = strings(value, 2)
        value = der(0x30, der(2, r), der(2, s))
    need(not left and not end, "SSHSIG with bytes left over")
    verify(public, SSH[algorithm.decode()], value, signed, None)
def verify(public: Any, algorithm: str, value: bytes, message: bytes, digest: bytes | None) -> None:
    hashed = getattr(hashes, algorithm[-6:].upper(), hashes.SHA256)()
    over = hashed if digest is None else utils.Prehashed(hashed)
    pss = padding.PSS(padding.MGF1(hashed), hashed.digest_size)
    how: Doc = {"ec": (ec.ECDSA(over),), "rs": (pss if "pss" in algorithm else padding.PKCS1v15(), over)}
    need(algorithm[0] != "r" or len(value) == (public.key_size + 7) // 8, "length of an RSA signature")
    need(algorithm[:2] != "ec" or utils.encode_dss_signature(*utils.decode_dss_signature(value)) == value, "ECDSA")
    public.verify(value, message if algorithm[:2] in WHOLE else digest or message, *how.get(algorithm[:2], ()))
def image_key(profile: Doc) -> Any:
    public, (kind, curve, *_) = load(profile["public_key"]), f"{(name := profile['algorithm'])}-".split("-")
    need(type(public).__name__ == f"{KEYS.get(name) or KEYS[name[:3]]}PublicKey", "key of the algorithm")
    good = public.curve.name == f"sec{curve}r1" if kind == "ecdsa" else kind != "rsa" or 2047 < public.key_size < 8193
    need(good and spki(public) == (key := profile["public_key"]) and (kind != "ed25519" or point(key[-32:])), "key")
    return public
def climb(low: int, high: int, seed: bytes, proof: list[bytes], level: int = 0) -> tuple[bytes, bytes]:
    # up from leaf ``low``: the roots of the tree that ends with it and of the tree that ends with leaf ``high``
    inner, old, new = (low ^ high).bit_length(), seed, seed
    need(low <= high and len(proof) == inner - level + (low >> inner).bit_count(), "length of a proof")
    for height, other in enumerate(proof, level):
        aside = height >= inner or low >> height & 1
        old, new = sha256(b"\1", other, old) if aside else old, sha256(b"\1", *(other, new)[::1 if aside else -1])
    return old, new
def included(data: bytes, place: Doc, size: int, root: bytes) -> bool:
    return len(data) < 65536 and climb(place["index"], size - 1, sha256(b"\0", data), place["proof"])[1] == root
def continues(old: int, old_root: bytes, proof: list[bytes], new: int, new_root: bytes) -> bool:
    if old == new:
        return not proof and old_root == new_root
    seed, *path = proof if old & (old - 1) else [old_root, *proof]
    return climb(old - 1, new - 1, seed, path, (old & -old).bit_length() - 1) == (old_root, new_root)
def verifier_key(text: str, kind: int) -> tuple[str, bytes, bytes, int]:  # name, key id, SubjectPublicKeyInfo and kind
    name, number, data = *text.split("+", 2)[:2], decode64(text.split("+", 2)[2])
    good = data[0] == kind and (len(data) == 1313 if kind == 6 else len(data) == 33 and point(data[1:]))
    need(good and sha256(name.encode(), b"\n", data)[:4].hex() == number, "verifier key")
    return name, bytes.fromhex(number), (LATTICE if kind == 6 else EDWARDS) + data[1:], kind
def checkpoint(note: bytes, trust: Doc) -> tuple[int, bytes]:  # size and root hash of the log
    (text, _, tail), line = note.decode().rpartition("\n\n"), "\u2014 ([^\\s+]+) (\\S{6}[^=\\s]\\S+)\n"
    good = re.fullmatch(f"(?:{line}){{1,32}}", tail) and not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f]", note.decode())
    (origin, size, root), second = text.split("\n"), [trust["log_ml_dsa"]] if "log_ml_dsa" in trust else []
    logs = [verifier_key(trust["log_key"], 1), *(verifier_key(log["key"], 6) for log in second)]
    keys = logs + [verifier_key(witness["key"], 4) for witness in trust["witnesses"]]
    signers, lines = set(), [(name, decode64(encoded)) for name, encoded in re.findall(line, tail)]
    for name, data in lines:
        for key in [key for key in keys if key[:2] == (name, data[:4])]:
            named, stamp = bytes([len(name)]) + name.encode(), data[4:12]  # an origin that is not this name fails below
            tree = b"subtree/v1\n\0", named, stamp, named, bytes(8), int(size).to_bytes(8), decode64(root)
            body = (b"cosignature/v1\ntime %d\n" % int.from_bytes(stamp), b"")[key[3] == 1], text.encode(), b"\n"
            made = data[4 if key[3] == 1 else 12:], b"".join(tree if key[3] == 6 else body)
            good = good and passes(load(key[2]).verify, *made) and (key[3] == 1 or data[4] < 128)
            signers.add(key[2])
    due = {key[2] for key in logs if key[3] == 1 or second[0]["first_size"] <= int(size)}
    good = good and re.fullmatch("0|[1-9][0-9]{0,15}", size) and len(decode64(root)) == 32 and due <= signers
    once = len({(n, d[:4]) for n, d in lines}) == len(lines) and {origin, *(key[0] for key in logs)} == {trust["log"]}
    hold("evidence", {2: good and once and len(signers - {key[2] for key in logs}) >= trust["witness_quorum"]})
    return int(size), decode64(root)
def root_rules(root: Doc) -> dict[bytes, Any]:  # the keys of signers, logs and witnesses, which are nobody else's
    people, logs, signers, witnesses = (root[name] for name in ("administrators", "logs", "signers", "witnesses"))
    second = [log["ml_dsa"] | {"origin": log["origin"]} for log in logs if "ml_dsa" in log]
    keys = [verifier_key(who["key"], kind) for them, kind in ((witnesses, 4), (logs, 1), (second, 6)) for who in them]
    names = [[p["person"] for p in people], [spki(ssh_key(a["key"])[1]) for p in people for a in p["authenticators"]],
             [log["origin"] for log in logs], [s["id"] for s in signers], [s["key"] for s in signers],
             [w["name"] for w in witnesses], [key[2] for key in keys[:len(witnesses)]]]
    hold("root", {
        1: root["created"] < root["expires"] <= root["created"] + 1830 * 86400, 2: root["threshold"] <= len(people),
        3: root["grade"] == "evaluation" or root["threshold"] > 1, 4: root["witness_quorum"] <= len(witnesses),
        5: [key[0] for key in keys] == [who.get("origin", who.get("name")) for who in (*witnesses, *logs, *second)],
        6: all(point(signer["key"]) for signer in signers), 7: all(len({*them}) == len(them) for them in names)})
    return dict.fromkeys([*(EDWARDS + signer["key"] for signer in signers), *(key[2] for key in keys)])
class Verification:
    """One evidence file against one trust file; what a method finds stays here for the next."""
    def __init__(self, evidence: bytes, trust: bytes) -> None:
        self.e, self.t = document(evidence, "evidence", 1 << 26), document(trust, "trust")
        hold("evidence", {1: self.t["roots"][0] == self.t["instance"] == self.e["instance"]})
        self.policy = document(self.e["policy"]["signed"]["document"], "policy")
        self.intent = document(self.e["intent"]["entry"], "entry-intent")
        self.request, self.out = (document(self.e[name]["document"], name) for name in ("request", "outcome"))
        self.log, self.sections = checkpoint(self.e["checkpoint"], self.t), dict[tuple[str, str], Doc]()
    def digest(self, kind: str, data: bytes, instance: str = "") -> str:
        return sha256(f"sealwright/{kind}/v1\0".encode(), bytes.fromhex(instance or self.t["instance"]), data).hex()
    def logged(self, kind: str, place: Doc) -> bool:
        return included(spell({"entry": kind, "format": 1, "signed": place["signed"]}), place, *self.log)
    def signed(self, envelope: Doc, holder: Doc, kind: str, digest: str) -> bool:
        made = (f"sealwright-{kind}-v1", bytes.fromhex(digest), envelope["signature"])
        keys = [k for k in holder["authenticators"] if sha256(ssh_key(k["key"])[0]).hex() == envelope["authenticator"]]
        return envelope["kind"] == "sshsig" and any(passes(sshsig, key, *made) for key in keys)
    def granted(self, signed: Doc, roots: list[Doc], kind: str, digest: str) -> bool:  # by enough of each
        valid = [{(number, who["person"]) for number, root in enumerate(roots) for who in root["administrators"]
                  if who["person"] == envelope["signer"] and self.signed(envelope, who, kind, digest)}
                 for envelope in signed["signatures"]]
        counted = [number for number, _ in set().union(*valid)]
        return all(valid) and all(counted.count(number) >= root["threshold"] for number, root in enumerate(roots))
    def roots(self) -> None:
        before: list[Any] = []
        for place in self.e["roots"]:
            signed, data = place["signed"], place["signed"]["document"]
            self.machines = root_rules(root := document(data, "root"))
            digest = self.digest("root", data, "00" * 32 if root["version"] == 1 else "")
            known = self.t["roots"][root["version"] - 1:][:1]
            hold("evidence", {
                4: known in ([], [digest]), 5: known or (before and root["previous"] == before[1] and self.granted(
                    signed, [before[0], root], "root", digest)), 7: self.logged("root", place),
                6: not before or root["version"] == before[0]["version"] + 1})
            before = self.root, self.root_digest = [root, digest]
        old = root["version"] < len(self.t["roots"]) and self.e["outcome_index"] >= self.t["as_of"]["size"]
        hold("evidence", {8: place["index"] == self.out["root_index"], 9: not old})
    def logs(self) -> None:
        e, out, policy, as_of, intent = self.e, self.out, self.policy, self.t["as_of"], self.intent
        index, entry, signed, size = e["intent"]["index"], e["intent"]["entry"], e["policy"]["signed"], out["size"]
        granted = self.granted(signed, [self.root], "policy", self.digest("policy", signed["document"]))
        lives = policy["created"] < policy["expires"] <= policy["created"] + 400 * 86400
        hold("evidence", {10: policy["root"] == self.root_digest and lives and granted,
            11: self.logged("policy", e["policy"]) and e["policy"]["index"] == out["policy_index"],
            12: not out["policy_index"] < as_of["policy_index"] < size, 13: included(entry, e["intent"], *self.log),
            14: [self.digest("intent", entry), index, intent["signer"], intent["session"]]
                == [out[member] for member in ("intent", "intent_index", "signer", "session")],
            15: len(e["outcome"]["signatures"]) == 1})
        (envelope,), digest = e["outcome"]["signatures"], self.digest("outcome", e["outcome"]["document"])
        signer: Doc = next((s for s in self.root["signers"] if s["id"] == out["signer"] == envelope["signer"]), {})
        hold("evidence", {15: signer})
        check = load(EDWARDS + signer["key"]).verify
        made = (envelope["kind"], envelope["authenticator"]) == ("ed25519", sha256(signer["key"]).hex())
        done = spell({"document": digest, "entry": "outcome", "format": 1, "intent_index": out["intent_index"]})
        hold("evidence", {16: signer["valid_from"] <= index and e["outcome_index"] < signer.get("valid_until", 2**64),
            17: made and passes(check, envelope["signature"], bytes.fromhex(digest)),
            18: included(done, {"index": e["outcome_index"], "proof": e["outcome_proof"]}, *self.log),
            19: out["root_index"] < out["policy_index"] < size <= e["outcome_index"] and index < size,
            20: size and continues(size, bytes.fromhex(out["root_hash"]), e["followed"], *self.log)})
    def rules(self) -> None:
        count, top = self.policy["section_count"], bytes.fromhex(self.policy["sections_root"])
        homes, owners, admins = dict[Any, Any](), self.machines, {a["person"] for a in self.root["administrators"]}
        for place in self.e["sections"]:
            section = document(place["document"], "")
            name, digest = (section["type"], section["id"]), self.digest(section["type"], place["document"])
            good = name not in self.sections and name[0] in ("person", "pipeline", "gate-key", "key-profile", "scope")
            hold("evidence", {21: good and included(bytes.fromhex(digest), place, count, top)})
            self.sections[name] = section | {"digest": digest}
        for who in [*self.root["administrators"], *self.sections.values()]:
            own = (me := who.get("id", who.get("person")), *{who.get("type")} & {"pipeline", "gate-key"})
            keys = [spki(ssh_key(key["key"])[1]) for key in who.get("authenticators", [])]
            keys += [EDWARDS + who["key"]] if "key" in who else []
            hold("policy", {2: point(who.get("key", b"\2")), 3: "pipeline" not in own[1:] or not {me, ("person", me)}
                    & {*admins, *self.sections}, 4: [owners.setdefault(k, own) for k in keys] == [own] * len({*keys})})
        for s in self.sections.values():
            area, home = f"{s.get('product')}/{s.get('environment')}", s.get("partition")
            production, algorithm = s.get("environment") == "production", s.get("algorithm", "rsa")
            need(algorithm in KEYS or algorithm[:3] in KEYS, algorithm, "algorithm not supported by this verifier")
            hold("policy", {} if s["type"] != "scope" else {5: s["id"] == area, 6: s["quorum"] or not production,
                7: all(group["recomputed"] <= group["approvals"] for group in s["quorum"])})
            hold("policy", {} if s["type"] != "key-profile" else {
                10: (s["signs"] == "message") == (s["algorithm"][:2] in WHOLE), 8: ("scope", area) in self.sections,
                11: ("image_format" in s or not production) and ("minutes" in s or s["grade"] != "hardware-attested"),
                12: (homes.setdefault((0, area), home), homes.setdefault((1, home), area)) == (home, area),
                13: [p.get("public_key") for p in self.sections.values()].count(s["public_key"]) == 1
                    and s["public_key"] not in owners, 9: passes(image_key, s)})
    def authorise(self) -> None:
        e, r, root, policy, s, now = self.e, self.request, self.root, self.policy, self.sections, self.out["time"]
        area = (r["product"], r["environment"])
        scope, requester = s.get(("scope", "/".join(area)), {}), s.get((r["requester_kind"], r["requester"]), {})
        requesters = {r["requester"], *requester.get("controllers", [])}
        self.names = formats = {artifact["name"]: artifact["image_format"] for artifact in r["artifacts"]}
        slots = [(slot["artifact"], slot["slot"]) for slot in r["slots"]]
        times = [a["options"].get(name, r["created"]) for a in r["artifacts"] for name in ("signing_time", "timestamp")]
        same = {(slot["artifact"], slot["key_profile"], slot["digest"]) for slot in r["slots"]}
        digest, envelopes = self.digest("request", e["request"]["document"]), e["request"]["signatures"]
        hold("authorise", {
            1: now < root["expires"], 2: now < policy["expires"], 7: now < r["expires"], 6: r["created"] <= now + 600,
            3: max(root["created"], policy["created"]) <= now + 600, 5: r["log"] == self.t["log"], 16: scope,
            8: r["created"] < r["expires"] <= r["created"] + 30 * 86400
               and all(isinstance(at, int) and r["created"] - 600 <= at < r["expires"] for at in times),
            10: len(formats) == len(r["artifacts"]) and len({*slots}) == len(slots) == len(same)
                and {*formats} == {n for n, _ in slots} and slots == [s for n in formats for s in slots if s[0] == n],
            13: [x["signer"] for x in envelopes] == [r["requester"]], 11: requester.get("state") == "active",
            14: all(self.signed(envelope, requester, "request", digest) for envelope in envelopes),
            17: {*scope.get("requesters", [])} & {*requester.get("roles", [])},
            18: r["mode"] == "upload" in scope.get("modes", []), 21: not (scope.get("gates") or e["reports"])})
        used = {("scope", scope["id"]), (r["requester_kind"], r["requester"]), *(("key-profile", x[1]) for x in same)}
        for slot in r["slots"]:
            p, made = s.get(("key-profile", slot["key_profile"]), {}), formats.get(slot["artifact"])
            length = int(re.sub("^ml-.*", "512", p.get("algorithm", "").replace("ed25519", "256"))[-3:] or 0) // 4
            by = [x["key_profile"] for x in r["slots"] if x["artifact"] == slot["artifact"]]
            sets = [{*x["members"]} for x in scope.get("key_sets", []) if x.get("image_format", made) == made]
            ok = not sets or ({*by} == set().union(*(x for x in sets if x & {*by})) and len({*map(by.count, by)}) == 1)
            hold("authorise", {19: (p.get("state"), p.get("product"), p.get("environment")) == ("active", *area)
                               and p["purpose"] in ("firmware", "update-metadata") and p["grade"] in scope["key_grades"]
                               and p.get("image_format", made) == made and len(slot["digest"]) == length, 20: ok})
        of = sorted(s[name]["digest"] for name in used if name[0] == "key-profile")
        rule = self.digest("rules", spell({"type": "rules", "format": 1, "scope": scope["digest"], "key_profiles": of}))
        votes, demands, self.cast = list[str](), list[Any](), list[tuple[str, set[str], str]]()
        for signed in e["votes"]:
            vote, envelopes = document(signed["document"], "vote"), signed["signatures"]
            person, made = s.get(("person", vote["person"]), {}), self.digest("vote", signed["document"])
            hold("authorise", {
                22: len(envelopes) == 1, 23: vote["request"] == digest, 24: vote["person"] not in requesters,
                25: person.get("state") == "active" and all(x["signer"] == vote["person"] for x in envelopes),
                27: person and all(self.signed(x, person, "vote", made) for x in envelopes),
                28: vote["decision"] == "approve", 29: vote["rules"] == rule, 30: not vote["reports"],
                31: r["created"] - 600 <= vote["time"] <= now + 600 and "reason" not in vote})
            self.cast.append((vote["person"], {*person["roles"]}, vote["checked"]))
            votes, used = [*votes, made], used | {("person", vote["person"])}
        for group in scope["quorum"]:
            able = [(person, checked) for person, roles, checked in self.cast if roles & {*group["roles"]}]
            demands += [({person for person, checked in able if checked == "recomputed"}, group["recomputed"]),
                        ({person for person, _ in able}, group["approvals"] - group["recomputed"])]
        for chosen in range(1 << len(demands)):
            picked = [demand for number, demand in enumerate(demands) if chosen >> number & 1]
            hold("authorise", {32: len(set().union(*(able for able, _ in picked))) >= sum(n for _, n in picked)})
        people = {who for who, *_ in self.cast} | (requesters - {r["requester"] if "controllers" in requester else ""})
        hold("authorise", {
            33: r["environment"] != "production" or (votes and len(people) > 1), 34: self.intent["request"] == digest,
            35: self.intent["rules"] == rule, 36: self.intent["votes"] == votes and not self.intent["reports"]})
        hold("evidence", {23: len(s) == len(used) and e["sections"] == sorted(e["sections"], key=lambda s: s["index"])})
    def slots(self) -> None:
        e, r, out, signatures, messages = self.e, self.request, self.out, self.e["signatures"][:], self.e["messages"][:]
        hold("evidence", {24: e["artifact"] in self.names, 25: len(r["slots"]) == len(out["slots"])})
        for slot, done in zip(r["slots"], out["slots"], strict=True):
            p, hashed = self.sections["key-profile", slot["key_profile"]], bytes.fromhex(slot["digest"])
            key, certificate = sha256(p["public_key"]).hex(), [sha256(c).hex() for c in p["certificates"][:1]]
            need("after" not in slot, slot["slot"], "a signature over a signature is not supported by this verifier")
            hold("evidence", {26: (done["key"], done["algorithm"]) == (key, p["algorithm"])})
            if slot["artifact"] == e["artifact"]:
                hold("evidence", {27: signatures, 30: messages or p["signs"] == "digest"})
                signature, message = signatures.pop(0), messages.pop(0) if p["signs"] == "message" else b""
                hold("evidence", {
                    27: done.get("signature") == sha256(signature).hex(), 29: key not in self.t["distrusted"],
                    28: [done[name] for name in ("certificate",) if name in done] == certificate,
                    30: p["signs"] == "digest" or hashlib.new(f"sha{len(hashed) * 8}", message).digest() == hashed,
                    31: passes(verify, image_key(p), p["algorithm"], signature, message, hashed)})
        hold("evidence", {32: not signatures and not messages})
    def check(self, given: bytes) -> bool:  # whether the image given is verified; if not, the restored one is approved
        return [s() for s in (self.roots, self.logs, self.rules, self.authorise, self.slots)] and self.image(given)
    def image(self, given: bytes) -> bool:
        end, restored, patch = 0, given, self.e["patch"]
        for edit in patch.get("edits", []):
            start, stop = edit["offset"], edit["offset"] + len(edit["new"])
            hold("evidence", {33: end <= start and restored[start:stop] == edit["new"]})
            restored, end = restored[:start] + edit["old"] + restored[stop:], start + len(edit["old"])
        (a,), size = [a for a in self.request["artifacts"] if a["name"] == self.e["artifact"]], len(restored)
        got = [size, sha256(restored).hex(), hashlib.sha512(restored).hexdigest()]
        hold("evidence", {33: end <= patch["old_size"] == size, 34: got == [a["size"], a["sha256"], a["sha512"]]})
        is_cms = a["image_format"] == "raw" and a["options"].get("output", "cms") == "cms"
        return is_cms and len(self.e["signatures"]) == 1 and self.raw(restored, a)
    def raw(self, image: bytes, artifact: Doc) -> bool:  # slot and CMS structure of docs/formats/raw.md, made again
        (slot,), pkcs = [x for x in self.request["slots"] if x["artifact"] == artifact["name"]], "06092a864886f70d01"
        p = self.sections["key-profile", slot["key_profile"]]
        itself, spot = p["algorithm"][:2] in WHOLE, time.gmtime(artifact["options"]["signing_time"])
        name, when = "sha512" if itself else p["algorithm"][-6:], time.strftime("%Y%m%d%H%M%SZ", spot).encode()
        number, own = ("sha256", "sha384", "sha512").index(name), x509.load_der_x509_certificate(p["certificates"][0])
        data, stamp = bytes.fromhex(f"{pkcs}0701"), der(23, when[2:]) if 1950 <= spot.tm_year < 2050 else der(24, when)
        attributes = b"".join(der(48, bytes.fromhex(pkcs + oid), der(49, value)) for oid, value in (
            ("0903", data), ("0905", stamp), ("0904", der(4, hashlib.new(name, image).digest()))))
        digest = hashlib.new("sha256" if p["algorithm"] == "ed25519" else name, der(49, attributes)).hexdigest()
        slot_made = ["signature", digest, spki(own.public_key()), ["signing_time"]]
        hold("evidence", {35: [slot["slot"], slot["digest"], p["public_key"], [*artifact["options"]]] == slot_made})
        hashed = der(48, bytes.fromhex(f"060960864801650304020{number + 1}"), b"" if itself else b"\5\0")
        mask = der(161, der(48, bytes.fromhex(f"{pkcs}0108"), hashed))
        pss = der(48, der(160, hashed), mask, der(162, der(2, bytes([32 + 16 * number])))).hex()
        signing = {"ed255": "06032b6570", "ecdsa": f"06082a8648ce3d04030{number + 2}", "rsa-p": f"{pkcs}01010500"}
        signing |= {"rsa-p": f"{pkcs}010a{pss}"} if "pss" in p["algorithm"] else {"ml-ds": p["public_key"][6:17].hex()}
        serial = der(2, own.serial_number.to_bytes(own.serial_number.bit_length() // 8 + 1))
        info = (b"\2\1\1", der(48, own.issuer.public_bytes(), serial), hashed, der(160, attributes),
                der(48, bytes.fromhex(signing[p["algorithm"][:5]])), der(4, self.e["signatures"][0]))
        cms = (der(49, hashed), der(48, data), der(160, *sorted(p["certificates"])), der(49, der(48, *info)))
        content = der(48, bytes.fromhex(f"{pkcs}0702"), der(160, der(48, b"\2\1\1", *cms)))
        hold("evidence", {36: [self.e["patch"].get(m, []) for m in ("edits", "sidecars")] == [
            [], [{"suffix": ".mldsa.p7s" if "ml-" in p["algorithm"] else ".p7s", "content": content}]]})
        return True
def main() -> int:
    try:
        image, proof, trust = map(Path, sys.argv[1:] if len(sys.argv) == 4 else sys.exit("usage: IMAGE EVIDENCE TRUST"))
        v = Verification(proof.read_bytes(), trust.read_bytes())
        words = "verified" if v.check(image.read_bytes()) else "approved (slots and patch not made again): the restored"
        for sidecar in v.e["patch"].get("sidecars", []):
            beside = image.with_name(image.name + sidecar["suffix"])
            need(not beside.exists() or beside.read_bytes() == sidecar["content"], f"{beside} is not that of the patch")
        words += (f" {v.e['artifact']} of {v.request['product']} {v.request['release']}; votes: "
                  + ", ".join(f"{person} ({checked})" for person, _, checked in v.cast)
                  + f"; {v.t['witness_quorum']} witnesses demanded; root of grade {v.root['grade']}")
    except Exception as error:  # noqa: BLE001  (whatever goes wrong, it is refused)
        words = f"refused: {' '.join(str(error).split()) or type(error).__name__}"
    sys.stdout.write(f"{words}\n")
    return int(words.startswith("refused"))
if __name__ == "__main__":
    sys.exit(main())
