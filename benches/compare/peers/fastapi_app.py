"""FastAPI with PyJWT, as the tutorials have it."""
import os

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

app = FastAPI()
bearer = HTTPBearer()
keys = jwt.PyJWKClient(os.environ["BENCH_KEYS"])


def scope_items(credentials: HTTPAuthorizationCredentials = Depends(bearer)) -> dict:
    token = credentials.credentials
    try:
        key = keys.get_signing_key_from_jwt(token).key
        claims = jwt.decode(token, key, algorithms=["RS256"], audience="bench", issuer=os.environ["BENCH_ISSUER"])
    except jwt.PyJWTError as error:
        raise HTTPException(401, str(error)) from error
    if "items" not in claims.get("scope", "").split():
        raise HTTPException(403, "insufficient_scope")
    return claims


@app.get("/")
def hello(claims: dict = Depends(scope_items)) -> dict:
    return {"Hello": "World"}
