// Compiles one contract with the settings of foundry.toml.
import { createRequire } from "node:module";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

const setting = (name) => readFileSync(join(here, "foundry.toml"), "utf8").match(new RegExp(`^${name} = (.*)$`, "m"))[1];
const settings = {
  optimizer: { enabled: setting("optimizer") === "true", runs: Number(setting("optimizer_runs").replaceAll("_", "")) },
  viaIR: setting("via_ir") === "true",
  evmVersion: JSON.parse(setting("evm_version")),
  metadata: { bytecodeHash: JSON.parse(setting("bytecode_hash")), appendCBOR: setting("cbor_metadata") === "true" },
};

const read = (path, changed) => {
  if (changed?.has(path)) return { contents: changed.get(path) };
  const file = path.startsWith("@") ? join(here, "node_modules", path) : join(here, path);
  return existsSync(file) ? { contents: readFileSync(file, "utf8") } : { error: `${path} not found: run npm ci first` };
};

const solc = createRequire(import.meta.url)("solc");

/// The artifact of a contract. `changed` has sources, by path, that take the place of the files.
export function compile(name, path, changed) {
  const output = JSON.parse(
    solc.compile(
      JSON.stringify({
        language: "Solidity",
        sources: { [path]: { content: read(path, changed).contents } },
        settings: {
          ...settings,
          outputSelection: { [path]: { [name]: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
        },
      }),
      { import: (imported) => read(imported, changed) },
    ),
  );
  const accepted = ["2394"]; // transient storage, which the re-entrancy guard clears
  // What is broken on purpose may leave something unused.
  const counts = (e) => (changed ? e.severity === "error" : !accepted.includes(e.errorCode));
  const problems = (output.errors ?? []).filter(counts).map((e) => e.formattedMessage);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  const { abi, evm } = output.contracts[path][name];
  return {
    name,
    compiler: solc.version().replace(/\.Emscripten.*$/, ""),
    settings,
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    runtime: `0x${evm.deployedBytecode.object}`,
  };
}
