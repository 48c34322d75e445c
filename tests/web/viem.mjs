// What a web page does with viem, against any development node: node viem.mjs RPC-URL
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  BaseError,
  ContractFunctionRevertedError,
  createPublicClient,
  createTestClient,
  createWalletClient,
  decodeFunctionData,
  hashDomain,
  hashStruct,
  hashTypedData,
  http,
  parseEther,
  parseSignature,
  recoverTypedDataAddress,
  serializeCompactSignature,
  signatureToCompactSignature,
  zeroAddress,
} from "viem";
import { mnemonicToAccount, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
const arena = read("../../sdk/contracts/artifacts/Arena.json");
const transport = http(process.argv[2]);
const options = { chain: foundry, transport, pollingInterval: 10, cacheTime: 0 };
const reader = createPublicClient(options);
const alice = mnemonicToAccount("test test test test test test test test test test test junk");
const wallet = createWalletClient({ ...options, account: alice });
const operations = createTestClient({ ...options, mode: "anvil" });

async function theChain() {
  assert.equal(await reader.getChainId(), 31337);
  assert.equal(await reader.getBlockNumber(), 0n);
  assert.equal(await reader.getBalance({ address: alice.address }), parseEther("10000"));
  const block = await reader.getBlock({ blockTag: "latest" });
  assert.equal(block.number, 0n);
  assert.ok(block.baseFeePerGas > 0n);
  const fees = await reader.estimateFeesPerGas();
  assert.ok(fees.maxFeePerGas >= fees.maxPriorityFeePerGas);
}

async function aTransfer() {
  const to = "0x00000000000000000000000000000000000000aa";
  const hash = await wallet.sendTransaction({ to, value: parseEther("1") });
  const receipt = await reader.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "success");
  assert.equal(receipt.gasUsed, 21000n);
  assert.equal(await reader.getBalance({ address: to }), parseEther("1"));
  assert.equal(await reader.getTransactionCount({ address: alice.address }), 1);
}

async function theArena() {
  const salt = `0x${"5a".repeat(32)}`;
  const config = {
    operator: alice.address,
    token: zeroAddress,
    court: zeroAddress,
    exitWindow: 3600,
    salt,
    beneficiaries: [],
    basisPoints: [],
  };
  const hash = await wallet.deployContract({ abi: arena.abi, bytecode: arena.bytecode, args: [config] });
  const { contractAddress: address } = await reader.waitForTransactionReceipt({ hash });
  const contract = { address, abi: arena.abi };
  assert.equal(await reader.readContract({ ...contract, functionName: "operator" }), alice.address);
  const domain = { name: "Matchlock", version: "1", chainId: 31337, verifyingContract: address, salt };
  const separator = await reader.readContract({ ...contract, functionName: "domainSeparator" });
  assert.equal(separator, hashDomain({ domain, types: { EIP712Domain: domainType } }));

  const account = "0x00000000000000000000000000000000000000ac";
  const { request } = await reader.simulateContract({
    ...contract,
    account: alice,
    functionName: "deposit",
    args: [account],
    value: 5n,
  });
  const receipt = await reader.waitForTransactionReceipt({ hash: await wallet.writeContract(request) });
  const events = await reader.getContractEvents({ ...contract, eventName: "Deposited", fromBlock: 0n });
  assert.equal(events.length, 1);
  assert.equal(events[0].transactionHash, receipt.transactionHash);
  assert.deepEqual(events[0].args, { account: events[0].args.account, from: alice.address, amount: 5n });
  const [funds] = await reader.readContract({ ...contract, functionName: "accountOf", args: [account] });
  assert.equal(funds, 5n);

  const refused = reader.simulateContract({ ...contract, account: alice, functionName: "deposit", args: [zeroAddress] });
  await assert.rejects(refused, (error) => {
    const revert = error instanceof BaseError && error.walk((cause) => cause instanceof ContractFunctionRevertedError);
    assert.equal(revert?.data?.errorName, "ZeroAddress");
    return true;
  });
}

async function development() {
  const id = await operations.snapshot();
  const { timestamp } = await reader.getBlock();
  await operations.increaseTime({ seconds: 1000 });
  await operations.mine({ blocks: 2 });
  assert.ok((await reader.getBlock()).timestamp >= timestamp + 1000n);
  await operations.revert({ id });
  assert.equal((await reader.getBlock()).timestamp, timestamp);
}

const domainType = [
  { name: "name", type: "string" },
  { name: "version", type: "string" },
  { name: "chainId", type: "uint256" },
  { name: "verifyingContract", type: "address" },
  { name: "salt", type: "bytes32" },
];

// Numbers are decimal strings in the vectors, because JSON's end at 2^53.
const typed = (type, value) =>
  type.endsWith("[]")
    ? value.map((item) => typed(type.slice(0, -2), item))
    : /^u?int/.test(type)
      ? BigInt(value)
      : value;

async function theVectors() {
  const { domain: stored, types, signer, cases } = read("../vectors/eip712.json");
  const { separator, ...rest } = stored;
  const domain = { ...rest, chainId: Number(rest.chainId) };
  assert.equal(hashDomain({ domain, types: { EIP712Domain: domainType } }), separator);
  const key = privateKeyToAccount(signer.privateKey);
  assert.equal(key.address.toLowerCase(), signer.address);
  const seen = new Set();
  for (const { name, primaryType, message: plain, structHash, digest, signature } of cases) {
    const message = Object.fromEntries(types[primaryType].map(({ name, type }) => [name, typed(type, plain[name])]));
    const data = { domain, types: { [primaryType]: types[primaryType] }, primaryType, message };
    assert.equal(hashStruct({ data: message, primaryType, types: data.types }), structHash, name);
    assert.equal(hashTypedData(data), digest, name);
    const compact = serializeCompactSignature(signatureToCompactSignature(parseSignature(await key.signTypedData(data))));
    assert.equal(compact, signature, name);
    assert.equal(await recoverTypedDataAddress({ ...data, signature: await key.signTypedData(data) }), key.address);
    seen.add(primaryType);
  }
  assert.deepEqual([...seen].sort(), ["Arrival", "Exit", "Login", "Match", "Receipt", "State", "Statement", "Withdrawal"]);

  const { settle } = read("../vectors/batch.json");
  const call = decodeFunctionData({ abi: arena.abi, data: settle.calldata });
  assert.equal(call.functionName, "settle");
  assert.deepEqual(call.args.map(String), [settle.entries, settle.resultsRoot, settle.matches, settle.fees]);
}

for (const part of [theChain, aTransfer, theArena, development, theVectors]) await part();
console.log("all as expected");
