// Where a Program may write one argument over another, doing so changes nothing: proved cases are run both ways.
#include "schedule/overwrite.h"

#include <algorithm>

#include "check.h"
#include "cpu/dispatch.h"
#include "cpu/interpreter.h"
#include "isa/assemble.h"
#include "isa/disassemble.h"
#include "isa/encode.h"
#include "isa/verify.h"
#include "random_program.h"

namespace dvm::test {
namespace {

constexpr int kPrograms = 1000;
constexpr int kLeastProved = 1000;

std::string program_of(const std::string& slots, const std::string& code) {
  return "program\n  axis parallel 6 rows 2\n  axis parallel 40 cols 16\n  scratch 128\n"
         "  arguments 2\n  slot m0 f32 tile argument 0 @0 [160, 4]\n" +
         slots + "  slot r2 f32 tile @0\neach\n" + code;
}

bool proved(const std::string& slots, const std::string& code) {
  return may_overwrite(assemble(program_of(slots, code)), 0, 1);
}

constexpr const char* kAlike = "  slot m1 f32 tile argument 1 @0 [160, 4]\n";

// Gives argument `written` the layout of argument `read`; false if what is left is no Program.
bool lay_alike(Program& program, int read, int written) {
  const Slot* from = nullptr;
  for (const Slot& slot : program.slots) {
    if (slot.kind == SlotKind::kArgument && slot.index == read) from = &slot;
  }
  if (from == nullptr) return false;
  const Slot layout = *from;
  for (Slot& slot : program.slots) {
    if (slot.kind != SlotKind::kArgument || slot.index != written) continue;
    slot.offset = layout.offset;
    std::ranges::copy(layout.strides, slot.strides);
  }
  try {
    verify(encode(program));
  } catch (const std::invalid_argument&) {
    return false;
  }
  return may_overwrite(program, read, written);
}

// Whether there was something to compare: what no instruction reads has no memory here.
bool expect_the_same_either_way(const Program& program, int read, int written, Random& random) {
  const Memory start = random_memory(program, random);
  if (start.arguments[read].size() != start.arguments[written].size()) return false;
  for (const std::string_view isa : cpu::available_isas()) {
    cpu::choose_isa(isa);
    Memory apart = start, together = start;
    for (std::size_t i = 0; i < start.arguments.size(); ++i) {
      apart.addresses[i] = apart.arguments[i].data();
      together.addresses[i] = together.arguments[i].data();
    }
    // What lies between the elements is as it was in either.
    apart.arguments[written] = apart.arguments[read];
    apart.addresses[written] = apart.arguments[written].data();
    together.addresses[written] = together.addresses[read];
    cpu::run(encode(program), {apart.addresses.data(), apart.scalars.data()}, 1);
    cpu::run(encode(program), {together.addresses.data(), together.scalars.data()}, 1);
    if (CHECK(apart.arguments[written] == together.arguments[read])) continue;
    std::cerr << "argument " << written << " over " << read << " by " << isa << "\n"
              << disassemble(program) << "\n";
  }
  cpu::choose_isa(cpu::available_isas().front());
  return true;
}

}  // namespace

TEST(what_is_read_before_it_is_written_may_be_overwritten) {
  CHECK(proved(kAlike, "  neg_f32 tile m1, m0\n"));
  CHECK(proved(kAlike, "  neg_f32 tile r2, m0\n  add_f32 tile m1, r2, m0\n"));
}

TEST(what_is_read_after_the_first_write_may_not) {
  CHECK(!proved(kAlike, "  neg_f32 tile m1, m0\n  add_f32 tile m1, m1, m0\n"));
  CHECK(!proved(kAlike, "  neg_f32 tile m1, m0\nonce\n  neg_f32 tile r2, m0\n"));
}

TEST(what_lies_otherwise_may_not) {
  CHECK(!proved("  slot m1 f32 tile argument 1 @4 [160, 4]\n", "  neg_f32 tile m1, m0\n"));
  CHECK(!proved("  slot m1 f32 tile argument 1 @0 [164, 4]\n", "  neg_f32 tile m1, m0\n"));
  CHECK(!proved("  slot m1 f16 tile argument 1 @0 [160, 4]\n", "  to_f16_f32 tile m1, m0\n"));
  CHECK(!proved("  slot m1 f32 col argument 1 @0 [0, 4]\n", "  neg_f32 tile r2, m0\n"));
}

TEST(random_programs_that_may_overwrite_do_the_same) {
  int found = 0;
  for (int seed = 0; seed < kPrograms && failures() == 0; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const Program program = random_program(random);
    for (int read = 0; read < program.arguments; ++read) {
      for (int written = 0; written < program.arguments; ++written) {
        Program alike = program;
        if (read == written || !lay_alike(alike, read, written)) continue;
        found += expect_the_same_either_way(alike, read, written, random) ? 1 : 0;
      }
    }
  }
  CHECK(found >= kLeastProved);
  std::cerr << found << " found\n";
}

}  // namespace dvm::test
