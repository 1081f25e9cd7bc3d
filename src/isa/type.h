// Element types, derived from isa/types.def.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dvm {

enum class Type : std::uint8_t {
#define TYPE(name, text, ctype, bytes, compute, kind, numpy) name,
#include "isa/types.def"
};

enum class Kind : std::uint8_t { kFloat, kInteger, kBool };

struct TypeInfo {
  std::string_view text;
  std::int64_t bytes;
  Type compute;
  Kind kind;
  std::string_view numpy;
};

inline constexpr TypeInfo kTypes[] = {
#define TYPE(name, text, ctype, bytes, compute, kind, numpy) \
  {text, bytes, Type::compute, Kind::kind, numpy},
#include "isa/types.def"
};
inline constexpr std::size_t kTypeCount = sizeof(kTypes) / sizeof(kTypes[0]);
static_assert(kTypeCount <= 16, "an opcode keeps four bits for its type");

constexpr const TypeInfo& info(Type type) { return kTypes[static_cast<std::size_t>(type)]; }
constexpr std::int64_t bytes(Type type) { return info(type).bytes; }
constexpr Type compute(Type type) { return info(type).compute; }
constexpr bool is_compute(Type type) { return compute(type) == type; }

}  // namespace dvm
