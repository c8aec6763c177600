// Rooms on Bun, whose WebSocket server is uWebSockets: the least that a chat does. A token is checked, a
// frame is parsed, and everybody in the room gets a message.
import { makeToken, userOf } from "./token.mjs";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    const user = userOf(request.headers.get("cookie"));
    if (!user) return new Response("", { status: 401 });
    const room = new URL(request.url).searchParams.get("room");
    return server.upgrade(request, { data: { user, room } }) ? undefined : new Response("", { status: 400 });
  },
  websocket: {
    perMessageDeflate: false,
    open(socket) {
      socket.subscribe(socket.data.room);
    },
    message(socket, frame) {
      const { text } = JSON.parse(frame);
      const { user, room } = socket.data;
      const timestamp = Math.floor(Date.now() / 1000);
      server.publish(room, JSON.stringify({ type: "message", from: user, text, timestamp, room }));
    },
  },
});
console.log(`${makeToken("user0")} http://127.0.0.1:${server.port}`);
