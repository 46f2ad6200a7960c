// Sends what stdin says with nodemailer: one JSON document
//   {options, messages: [...]}, of which `options` are createTransport()'s, and a
// message may have `attachmentBytes` in place of an attachment so large.
// Says on stdout, as JSON, what nodemailer knows of each; a refusal is an `error`.

import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const require = createRequire(`${process.cwd()}/`);
const { createTransport } = require("nodemailer");

const { options, messages } = JSON.parse(await text(process.stdin));
const transport = createTransport(options);

async function send({ attachmentBytes, ...message }) {
  if (attachmentBytes) {
    const content = Buffer.alloc(attachmentBytes, "0123456789abcdef");
    message.attachments = [{ filename: "large.bin", content }];
  }
  try {
    const { accepted, rejected, response } = await transport.sendMail(message);
    return { accepted, rejected, response };
  } catch (error) {
    return { error: error.message, responseCode: error.responseCode };
  }
}

const results = await Promise.all(messages.map(send));
transport.close();
console.log(JSON.stringify(results));
