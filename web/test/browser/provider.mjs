// A real OpenID provider (npm `oidc-provider`), in which anybody signs in by a login without a
// password: the id of the user is the login, and the name is what is before the first dot of it.

import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";

const { Provider } = await import(pathToFileURL(path.join(process.env.TEST_TOOLS ?? "", "node_modules/oidc-provider/lib/index.js")).href);

/** @returns {Promise<number>} a port that nobody listens on */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export class OpenIdProvider {
  #chat;
  #port;
  #server;
  #provider;
  #signsAs;
  issuer = "";
  /** Of the answers to codes, which it takes all the same, `"all"`, `"half"` of each, or `"none"` reaches the chat. */
  tokensArrive = "all";

  /**
   * @param {string} chat the address of the chat
   * @param {string} [signsAs] another issuer, in whose name the provider signs
   */
  static async start(chat, signsAs) {
    const provider = new OpenIdProvider(chat, await freePort(), signsAs);
    provider.rotate("RS256");
    await provider.comeBack();
    return provider;
  }

  constructor(chat, port, signsAs) {
    this.#chat = chat;
    this.#signsAs = signsAs;
    this.#port = port;
    this.issuer = `http://localhost:${port}`;
  }

  /**
   * Signs with a new key from now on.
   * @param {"RS256" | "ES256"} algorithm
   */
  rotate(algorithm) {
    const { privateKey } = algorithm === "RS256" ? generateKeyPairSync("rsa", { modulusLength: 2048 }) : generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = { ...privateKey.export({ format: "jwk" }), kid: `${algorithm} ${Date.now()}`, use: "sig", alg: algorithm };
    // The provider itself wants a key of RSA, too; as in a rotation, the set has several.
    const spare = { ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }), kid: "spare", use: "sig", alg: "RS256" };
    this.#provider = new Provider(this.#signsAs ?? this.issuer, {
      clients: [
        {
          client_id: "chat",
          client_secret: "a secret of the chat",
          redirect_uris: [`${this.#chat}/api/oidc/callback`],
          post_logout_redirect_uris: [`${this.#chat}/`],
          id_token_signed_response_alg: algorithm,
        },
      ],
      jwks: { keys: algorithm === "RS256" ? [key] : [key, spare] },
      claims: { openid: ["sub"], profile: ["preferred_username"], email: ["email"] },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id.split(".")[0], email: `${id}@example.org` }) }),
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_, { uid }) => `/interaction/${uid}` },
      cookies: { keys: ["a key"] },
      pkce: { required: () => true },
      ttl: { Session: 600, Interaction: 600, Grant: 600, AccessToken: 600, IdToken: 600, AuthorizationCode: 60 },
      renderError: (ctx, { error, error_description: why }) => {
        ctx.type = "html";
        ctx.body = `<p id="error">${error}: ${why}</p>`;
      },
    });
    this.#provider.use(async (ctx, next) => {
      await next();
      if (ctx.path === "/.well-known/openid-configuration") ctx.body = { ...ctx.body, issuer: this.issuer };
    });
  }

  /** The provider does not answer any more. */
  async goAway() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async comeBack() {
    this.#server = createServer((request, response) => this.#answer(request, response)).listen(this.#port, "localhost");
    await once(this.#server, "listening");
  }

  async #answer(request, response) {
    const provider = this.#provider;
    if (!request.url.startsWith("/interaction/")) {
      if (request.url === "/token" && this.tokensArrive !== "all") loseAnswer(response, this.tokensArrive === "half");
      provider.callback()(request, response);
      return;
    }
    if (request.method === "GET") {
      response.setHeader("Content-Type", "text/html");
      response.end(`<form method="post"><input name="login"><button id="enter">Enter</button><button id="no" name="no" value="1">No</button></form>`);
      return;
    }
    let body = "";
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    if (form.get("no")) {
      await provider.interactionFinished(request, response, { error: "access_denied" });
      return;
    }
    const accountId = form.get("login");
    const grant = new provider.Grant({ accountId, clientId: "chat" });
    grant.addOIDCScope("openid profile email");
    await provider.interactionFinished(request, response, { login: { accountId }, consent: { grantId: await grant.save() } });
  }
}

/**
 * Closes the connection in place of an answer, or in the middle of it.
 * @param {import("node:http").ServerResponse} response
 * @param {boolean} arrivesHalf
 */
function loseAnswer(response, arrivesHalf) {
  response.end = (body) => {
    if (arrivesHalf) response.write(body.slice(0, body.length / 2), () => response.destroy());
    else response.destroy();
    return response;
  };
}
