// What npm's ali-oss does against the endpoint: node ali_oss.js URL KEY SECRET v1|v4. It makes no signed URLs for an IP address.
const OSS = require("ali-oss");
const assert = require("assert");
const [endpoint, accessKeyId, accessKeySecret, v4] = process.argv.slice(2);

async function main() {
  const client = new OSS({ endpoint, accessKeyId, accessKeySecret, authorizationV4: v4 === "v4", region: "oss-local" });
  const bucket = v4 === "v4" ? "ali-oss-four" : "ali-oss-one";
  await client.putBucket(bucket);
  client.useBucket(bucket);
  assert((await client.listBuckets()).buckets.some((each) => each.name === bucket));
  const key = "folder/é +%.txt";
  await client.put(key, Buffer.from("hello"), { meta: { who: "me" }, mime: "text/x" });
  const got = await client.get(key);
  assert.strictEqual(got.content.toString(), "hello");
  assert.strictEqual((await client.head(key)).meta.who, "me");
  await client.copy("copy", key);
  await client.append("log", Buffer.from("one"));
  await client.append("log", Buffer.from("two"), { position: 3 });
  assert.strictEqual((await client.get("log")).content.toString(), "onetwo");
  assert.deepStrictEqual((await client.list({ "max-keys": 10 })).objects.map((each) => each.name), ["copy", key, "log"]);
  assert.deepStrictEqual((await client.listV2({ delimiter: "/" })).prefixes, ["folder/"]);
  const large = Buffer.alloc(300 * 1024, 7);
  await client.multipartUpload("large", large, { partSize: 100 * 1024 });
  assert((await client.get("large")).content.equals(large));
  await client.putSymlink("link", "copy", {});
  assert.strictEqual((await client.get("link")).content.toString(), "hello");
  await client.putObjectTagging("copy", { a: "1" });
  assert.deepStrictEqual((await client.getObjectTagging("copy")).tag, { a: "1" });
  await assert.rejects(client.get("absent"), { code: "NoSuchKey", status: 404 });
  await client.deleteMulti([key, "copy", "log", "large", "link"]);
  await client.deleteBucket(bucket);
  console.log("ali-oss: ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
