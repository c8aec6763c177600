// The same rooms on Node, by the package `ws`.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { makeToken, userOf } from "./token.mjs";

const rooms = new Map();
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const server = createServer((_, answer) => answer.writeHead(404).end());
server.on("upgrade", (request, stream, head) => {
  const user = userOf(request.headers.cookie);
  if (!user) return void stream.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
  const name = new URL(request.url, "http://127.0.0.1").searchParams.get("room");
  sockets.handleUpgrade(request, stream, head, (socket) => {
    const room = rooms.get(name) ?? rooms.set(name, new Set()).get(name);
    room.add(socket);
    socket.on("close", () => room.delete(socket));
    socket.on("error", () => {});
    socket.on("message", (frame) => {
      const { text } = JSON.parse(frame);
      const timestamp = Math.floor(Date.now() / 1000);
      const message = JSON.stringify({ type: "message", from: user, text, timestamp, room: name });
      for (const member of room) member.send(message);
    });
  });
});
server.listen(0, "127.0.0.1", () => {
  console.log(`${makeToken("user0")} http://127.0.0.1:${server.address().port}`);
});
