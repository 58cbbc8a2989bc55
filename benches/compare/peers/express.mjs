// express with Auth0's express-oauth2-jwt-bearer, as its README shows it.
import express from 'express';
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer';

const [port, issuer, keys] = process.argv.slice(2);
const app = express();
app.disable('x-powered-by');
app.set('etag', false);
app.use(auth({ issuer, jwksUri: keys, audience: 'bench', tokenSigningAlg: 'RS256' }));
app.get('/', requiredScopes('items'), (request, response) => response.json({ Hello: 'World' }));
app.listen(Number(port), '127.0.0.1');
