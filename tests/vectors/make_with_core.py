"""Makes vectors_core.json with PyPI's aliyun-python-sdk-core, an independent signer:

python -m venv /tmp/core && /tmp/core/bin/pip install aliyun-python-sdk-core==2.16.1 setuptools
/tmp/core/bin/python tests/vectors/make_with_core.py > tests/vectors/vectors_core.json
"""

import json
import sys

from aliyunsdkcore.auth.algorithm import sha_hmac1
from aliyunsdkcore.auth.composer.roa_signature_composer import compose_string_to_sign

KEY, SECRET = "testid", "testsecret"
CASES = [
    ("GET", "/jobs", {}, {}),
    ("POST", "/jobs", {}, {"x-acs-idempotent-token": "token-1"}),
    ("PUT", "/jobs/job-1", {"Action": "Stop"}, {}),
    ("PUT", "/jobs/job-1/Priority", {}, {}),
    ("DELETE", "/jobs/job-1", {}, {"x-acs-security-token": "tok"}),
    ("GET", "/jobs/job-1/tasks", {}, {"x-acs-security-token": "a+b/c=="}),
    ("POST", "/jobs", {}, {"Content-MD5": "ChDfdfwC+Tn874znq7Dw7Q=="}),
    ("GET", "/images", {}, {"X-Acs-Zebra": "1", "x-acs-ant": "2"}),
]

vectors = []
for method, path, query, more in CASES:
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Date": "Tue, 30 Jun 2015 08:00:00 GMT",
        "x-acs-access-key-id": KEY,
        "x-acs-region-id": "cn-qingdao",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-nonce": "00000000-0000-1000-8000-000000000000",
        "x-acs-signature-version": "1.0",
        "x-acs-version": "2015-06-30",
        **more,
    }
    text = compose_string_to_sign(method, dict(query), path, headers, None)
    signature = sha_hmac1.get_sign_string(text, SECRET)
    target = path + "".join(f"?{name}={value}" for name, value in query.items())
    vectors.append({"method": method, "target": target, "headers": headers, "signature": signature})
json.dump({"key": KEY, "secret": SECRET, "vectors": vectors}, sys.stdout, indent=1)
