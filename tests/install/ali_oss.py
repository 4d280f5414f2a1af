"""npm's ali-oss against the OSS endpoint, in a temporary folder with an empty HOME. Needs the package index of npm.

Without node or npm it says so, and ends well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.oss import OWN, OssService

SCRIPT = Path(__file__).with_name("ali_oss.js")


def main() -> int:
    if shutil.which("npm") is None or shutil.which("node") is None:
        print("skipped: ali-oss, since node or npm is not here")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        surroundings = os.environ | {"HOME": folder}
        shutil.copy(SCRIPT, folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "ali-oss@^6.23"]
        subprocess.run(command, cwd=folder, env=surroundings, check=True, timeout=600)
        service = OssService(Path(folder, "data", "oss"))
        try:
            for version in ("v1", "v4"):
                script = ["node", SCRIPT.name, service.url, OWN.access_key_id, OWN.access_key_secret, version]
                subprocess.run(script, cwd=folder, env=surroundings, check=True, timeout=120)
        finally:
            service.close()
    print("ok: ali-oss")
    return 0


if __name__ == "__main__":
    sys.exit(main())
