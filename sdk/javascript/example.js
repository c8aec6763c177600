// Joins a room, prints what is written there, and sends each line that is typed. A restart of the
// server neither loses nor doubles a message.
//
//     node --experimental-websocket example.js http://localhost:8080 alice PASSWORD kitchen

import { createInterface } from "node:readline";

import { Chat, signIn } from "chat-v2";

const [url = "http://localhost:8080", user = "", password = "", room = "default"] = process.argv.slice(2);
const token = await signIn(url, user, password);
const chat = new Chat({
  url,
  user,
  token,
  listener: (output) => {
    if (output.do === "arrived" && output.key === `#${room}`) {
      console.log(`${output.entry.from}: ${output.entry.text}`);
    } else if (output.do === "signed-out") {
      process.exit(1);
    }
  },
});
chat.join(room);
const sent = [];
for await (const line of createInterface(process.stdin)) {
  sent.push(chat.send(`#${room}`, line).catch((error) => console.error(`not sent: ${error.message}`)));
}
await Promise.all(sent);
chat.end();
