// A provider of OpenID Connect that is not ours: the npm package oidc-provider, as a process of its own.
//   node provider.mjs CONSOLE_URL CLIENT_ID CLIENT_SECRET     says its address when it listens
// Whoever logs in is who they say; the name before the @ is the group: underwriter@acme.
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [console_, client_id, client_secret] = process.argv.slice(2);
const server = createServer((request, response) => handle(request, response));
let handle = null;

server.listen(0, "127.0.0.1", () => {
  // Another site than the console's, as it is in life: cookies and forms have to cross.
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id, client_secret, response_types: ["code"], grant_types: ["authorization_code"],
      redirect_uris: [`${console_}/console/login/company/back`], post_logout_redirect_uris: [`${console_}/console/login`],
    }],
    scopes: ["openid", "profile", "groups"],
    claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: [id.split("@")[0]] }) }),
    pkce: { required: () => true },
    cookies: { keys: ["only for tests"] },
    features: { devInteractions: { enabled: true } },
  });
  handle = provider.callback();
  console.log(issuer);
});
