"""Signatures as providers make them, computed by openssl: never by the code that checks them."""

import subprocess
from base64 import b64encode


def hmac_sha256(key: bytes, signed: bytes) -> bytes:
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"],
        input=signed, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout


def stripe(body: bytes, secret: str, moment: int) -> dict[str, str]:
    digest = hmac_sha256(secret.encode(), f"{moment}.".encode() + body)
    return {"stripe-signature": f"t={moment},v1={digest.hex()}"}


def salla(body: bytes, secret: str) -> dict[str, str]:
    return {
        "x-salla-signature": hmac_sha256(secret.encode(), body).hex(),
        "x-salla-security-strategy": "signature",
    }


def standard(body: bytes, key: bytes, id: str, moment: int) -> dict[str, str]:
    digest = hmac_sha256(key, f"{id}.{moment}.".encode() + body)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }
