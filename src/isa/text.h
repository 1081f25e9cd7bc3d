// Words of the text form of programs that disassemble and assemble share.
#pragma once

#include <string_view>

#include "isa/program.h"

namespace dvm {

inline constexpr std::string_view kDomainNames[] = {"tile", "row", "col", "one"};
inline constexpr std::string_view kRoleNames[] = {"parallel", "reduce", "indexed"};
inline constexpr std::string_view kSectionNames[] = {"once", "each"};
/// First letters of slot names, by SlotKind.
inline constexpr std::string_view kSlotLetters = "rkmsci";

}  // namespace dvm
