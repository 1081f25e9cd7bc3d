#include "isa/opcode.h"

#include <unordered_map>

namespace dvm {
namespace {

constexpr std::uint64_t kFnvOffset = 0xcbf29ce484222325u;
constexpr std::uint64_t kFnvPrime = 0x100000001b3u;
// Raised when the layout of the words changes while the tables stay the same.
constexpr std::uint64_t kLayoutVersion = 1;

constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  for (int i = 0; i < 8; ++i, value >>= 8) hash = (hash ^ (value & 0xff)) * kFnvPrime;
  return hash;
}

constexpr std::uint64_t mix(std::uint64_t hash, std::string_view text) {
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime;
  return mix(hash, text.size());
}

// Documentation and references may change without making old words wrong, so they are left out.
constexpr std::uint64_t hash_tables() {
  std::uint64_t hash = mix(kFnvOffset, kLayoutVersion);
  for (const TypeInfo& row : kTypes) {
    hash = mix(hash, row.text);
    hash = mix(hash, static_cast<std::uint64_t>(row.bytes));
    hash = mix(hash, static_cast<std::uint64_t>(row.compute));
  }
  for (const OpInfo& row : kOps) {
    hash = mix(hash, row.name);
    hash = mix(hash, static_cast<std::uint64_t>(row.family));
    hash = mix(hash, row.arity);
    hash = mix(hash, row.accumulators);
    hash = mix(hash, row.types);
    hash = mix(hash, static_cast<std::uint64_t>(row.result));
    hash = mix(hash, row.properties);
  }
  return hash;
}

constexpr std::uint64_t kFingerprint = hash_tables();

}  // namespace

std::uint64_t fingerprint() { return kFingerprint; }

std::string opcode_name(Op op, Type type) {
  std::string name(info(op).name);
  name += '_';
  name += info(type).text;
  return name;
}

std::optional<Opcode> find_opcode(std::string_view name) {
  static const auto* const opcodes = [] {
    auto* map = new std::unordered_map<std::string, Opcode>;
    for (std::size_t op = 0; op < kOpCount; ++op) {
      for (std::size_t type = 0; type < kTypeCount; ++type) {
        const Opcode code = opcode(static_cast<Op>(op), static_cast<Type>(type));
        if (is_defined(code)) map->emplace(opcode_name(op_of(code), type_of(code)), code);
      }
    }
    return map;
  }();
  const auto found = opcodes->find(std::string(name));
  if (found == opcodes->end()) return std::nullopt;
  return found->second;
}

}  // namespace dvm
