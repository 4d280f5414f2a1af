// Makes vectors_js.json with npm's aliyun-sdk, whose dialect the service has to understand (protocol 1.4):
//
//     npm install --prefix /tmp/js aliyun-sdk@1.12.10
//     NODE_PATH=/tmp/js/node_modules node tests/vectors/make_with_js.js > tests/vectors/vectors_js.json

const ALY = require('aliyun-sdk');

const KEY = 'testid', SECRET = 'testsecret';
const cases = [
  ['GET', '/jobs', {}],
  ['POST', '/jobs', {'Content-Type': 'application/json'}],
  ['PUT', '/jobs/job-1?Action=Stop', {'Content-Type': 'application/octet-stream'}],
  ['PUT', '/jobs/job-1/Priority', {'Content-Type': 'application/octet-stream'}],
  ['DELETE', '/jobs/job%201', {}],
  ['GET', '/jobs?b=2&a=%2F&empty=', {}],
  ['GET', '/images', {'x-acs-security-token': 'tok'}],
];
const vectors = cases.map(([method, path, more]) => {
  const headers = Object.assign({
    'x-acs-region-id': 'cn-qingdao',
    'x-acs-signature-nonce': '00000000-0000-1000-8000-000000000000',
    'x-acs-version': '2015-06-30',
    'x-acs-access-key-id': KEY,
  }, more);
  const request = {method, path, headers};
  const signer = new ALY.Signers.BatchCompute(request, 'batchcompute');
  signer.addAuthorization({accessKeyId: KEY, secretAccessKey: SECRET}, new Date(Date.UTC(2015, 5, 30, 8)));
  const authorization = headers.Authorization;
  delete headers.Authorization;
  return {method, target: path, headers, signature: authorization.split(':')[1]};
});
process.stdout.write(JSON.stringify({key: KEY, secret: SECRET, vectors}, null, 1));
