"""What a careful programmer would write without an SDK: urllib3 and the service's signature, nothing else."""

from __future__ import annotations

import hmac
import json
import os
import time
from base64 import b64encode
from typing import Any

import urllib3

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Bare:
    """get_job and no more."""

    def __init__(self, url: str, access_key_id: str, access_key_secret: str, pool_size: int = 1) -> None:
        self.url = url
        self.access_key_id = access_key_id
        self.secret = access_key_secret.encode()
        self.pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=10.0, read=60.0), maxsize=pool_size
        )

    def get_job(self, job_id: str) -> Any:
        target = f"/jobs/{job_id}"
        answer = self.pool.request("GET", self.url + target, headers=self.signed("GET", target))
        if not 200 <= answer.status < 300:
            raise OSError(answer.status, answer.data)
        return json.loads(answer.data)

    def signed(self, method: str, target: str) -> dict[str, str]:
        at = time.gmtime()
        date = (
            f"{DAYS[at.tm_wday]}, {at.tm_mday:02} {MONTHS[at.tm_mon - 1]} {at.tm_year} "
            f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
        )
        nonce = os.urandom(16).hex()
        text = (
            f"{method}\napplication/json\n\napplication/json\n{date}\nx-acs-access-key-id:{self.access_key_id}\n"
            f"x-acs-region-id:custom\nx-acs-signature-method:HMAC-SHA1\nx-acs-signature-nonce:{nonce}\n"
            f"x-acs-signature-version:1.0\nx-acs-version:2015-06-30\n{target}"
        )
        signature = b64encode(hmac.digest(self.secret, text.encode(), "sha1")).decode()
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "bare",
            "Date": date,
            "x-acs-access-key-id": self.access_key_id,
            "x-acs-region-id": "custom",
            "x-acs-signature-method": "HMAC-SHA1",
            "x-acs-signature-nonce": nonce,
            "x-acs-signature-version": "1.0",
            "x-acs-version": "2015-06-30",
            "Authorization": f"acs {self.access_key_id}:{signature}",
        }
