// Reads a JSON list of questions from standard input, answers each with {"ok": hex} or {"error": text}.
//   {"do": "open", "with": "openpgp5" | "openpgp6", "message": hex, "password": text}
//   {"do": "seal", "with": "openpgp5" | "openpgp6", "message": hex, "password": text}
//   {"do": "ecies_open", "message": hex, "private_key": hex}
//   {"do": "ecies_seal", "message": hex, "public_key": hex}
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const require = createRequire(import.meta.url);
console.info = () => {}; // eccrypto announces its fallback on standard output
const libraries = { openpgp5: require("openpgp5"), openpgp6: require("openpgp6") };
const eccrypto = require("eccrypto");
const bytes = (hex) => Buffer.from(hex, "hex");

const acts = {
  async open({ with: name, message, password }) {
    const openpgp = libraries[name];
    const read = await openpgp.readMessage({ binaryMessage: new Uint8Array(bytes(message)) });
    return (await openpgp.decrypt({ message: read, passwords: [password], format: "binary" })).data;
  },
  async seal({ with: name, message, password }) {
    const openpgp = libraries[name];
    const made = await openpgp.createMessage({ binary: new Uint8Array(bytes(message)) });
    return openpgp.encrypt({ message: made, passwords: [password], format: "binary" });
  },
  // iv(16), ephemeral public key(65), ciphertext, mac(32)
  async ecies_open({ message, private_key }) {
    const blob = bytes(message);
    const parts = {
      iv: blob.subarray(0, 16),
      ephemPublicKey: blob.subarray(16, 81),
      ciphertext: blob.subarray(81, -32),
      mac: blob.subarray(-32),
    };
    return eccrypto.decrypt(bytes(private_key), parts);
  },
  async ecies_seal({ message, public_key }) {
    const { iv, ephemPublicKey, ciphertext, mac } = await eccrypto.encrypt(bytes(public_key), bytes(message));
    return Buffer.concat([iv, ephemPublicKey, ciphertext, mac]);
  },
};

const answers = [];
for (const question of JSON.parse(await text(process.stdin))) {
  try {
    answers.push({ ok: Buffer.from(await acts[question.do](question)).toString("hex") });
  } catch (error) {
    answers.push({ error: String(error) });
  }
}
process.stdout.write(JSON.stringify(answers));
