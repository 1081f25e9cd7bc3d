// Words and text: round trips, and what the door refuses.
#include "check.h"
#include "isa/assemble.h"
#include "isa/decode.h"
#include "isa/disassemble.h"
#include "isa/encode.h"
#include "isa/opcode.h"
#include "isa/verify.h"
#include "random_program.h"

namespace dvm::test {
namespace {

constexpr int kPrograms = 500;

constexpr const char* kScale = R"(program
  axis parallel 6 rows 2
  axis parallel 40 cols 16
  scratch 128
  arguments 2
  scalars 1
  slot m0 f32 tile argument 0 @0 [160, 4]
  slot m1 f32 tile argument 1 @0 [160, 4]
  slot s2 f32 one scalar 0
  slot r3 f32 tile @0
each
  mul_f32 tile r3, m0, ~s2
  add_f32 tile m1, r3, m0
)";

Program scale() { return assemble(kScale); }

// The error that verify() gives when `change` has been made to a program that is well.
void refuses(const std::string& message, const std::function<void(Program&)>& change) {
  Program program = scale();
  change(program);
  CHECK(throws([&] { verify(encode(program)); }, message));
}

void refuses_text(const std::string& message, const std::string& text) {
  CHECK(throws([&] { assemble(text); }, message));
}

}  // namespace

TEST(words_and_text_read_back_as_the_same_program) {
  for (int seed = 0; seed < kPrograms && failures() == 0; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const Program program = random_program(random);
    CHECK(decode(encode(program)) == program);
    const std::string text = disassemble(program);
    CHECK(assemble(text) == program);
    CHECK(disassemble(assemble(text)) == text);
  }
}

TEST(text_prints_as_it_was_read) { CHECK(disassemble(scale()) == kScale); }

TEST(constants_of_all_kinds_read_back) {
  for (const char* constant :
       {"f32 one 0.1", "f32 one -inf", "f32 one 0x7fc00000", "f64 one 1e-300", "i32 one -5",
        "i64 one -9223372036854775808", "bool one true", "f32 one -0.0", "f16 one 0x3c00"}) {
    const std::string text =
        std::string("program\n  scratch 0\n  arguments 0\n  slot c0 ") + constant + "\n";
    CHECK(disassemble(assemble(text)) == text);
  }
}

TEST(every_opcode_has_a_name_that_finds_it) {
  for (std::size_t op = 0; op < kOpCount; ++op) {
    for (std::size_t type = 0; type < kTypeCount; ++type) {
      const Opcode code = opcode(static_cast<Op>(op), static_cast<Type>(type));
      if (is_defined(code)) CHECK(find_opcode(opcode_name(op_of(code), type_of(code))) == code);
    }
  }
  CHECK(!find_opcode("add_f16") && !find_opcode("add") && !find_opcode(""));
}

TEST(verify_accepts_what_is_well) { verify(encode(scale())); }

TEST(reach_is_what_a_run_may_touch) {
  const std::vector<Word> words = encode(scale());
  CHECK(required_bytes(words, 0) == 960 && required_bytes(words, 1) == 960);
  Program flipped = scale();
  flipped.slots[0].strides[0] = -160;
  const Reach found = reach(encode(flipped), 0);
  CHECK(found.first == -800 && found.end == 160);
  Program empty = scale();
  empty.axes[0].extent = 0;
  CHECK(required_bytes(encode(empty), 0) == 0);
}

TEST(verify_refuses_what_leaves_memory) {
  refuses("leaves the 64 bytes of scratch", [](Program& p) { p.scratch_bytes = 64; });
  refuses("has offset", [](Program& p) { p.slots[3].offset = -4; });
  refuses("not a multiple", [](Program& p) { p.slots[3].offset = 2; });
  refuses("no multiple of its element", [](Program& p) { p.slots[0].strides[0] = 162; });
  refuses("is argument 2 of 2", [](Program& p) { p.slots[0].index = 2; });
  refuses("is scalar 1 of 1", [](Program& p) { p.slots[2].index = 1; });
  refuses("reaches too far", [](Program& p) { p.slots[0].strides[0] = std::int64_t{1} << 55; });
  refuses("has stride", [](Program& p) { p.slots[0].strides[0] = INT64_MIN; });
  refuses("has extent", [](Program& p) { p.axes[0].extent = -1; });
  refuses("too many blocks", [](Program& p) {
    p.axes[0].extent = std::int64_t{1} << 40;
    p.axes[1].extent = std::int64_t{1} << 40;
  });
}

TEST(verify_refuses_what_the_kernels_cannot_address) {
  refuses("wanted 0", [](Program& p) { p.sections[0].code[0].broadcast = 3; });
  refuses("wanted 4", [](Program& p) { p.sections[0].code[0].broadcast = 0; });
  refuses("wanted 4", [](Program& p) { p.slots[0].strides[1] = 8; });
  refuses("no place for all of its domain", [](Program& p) { p.slots[3].domain = Domain::kCol; });
  refuses("which is no memory", [](Program& p) { p.sections[0].code[0].dst = 2; });
  refuses("more than its domain", [](Program& p) { p.sections[0].code[0].domain = Domain::kOne; });
  refuses("neither the row nor the column axis", [](Program& p) { p.row_axis = -1; });
  refuses("both the row and the column axis", [](Program& p) { p.row_axis = 1; });
  refuses("tile axis 7", [](Program& p) { p.col_axis = 7; });
}

TEST(verify_refuses_what_the_tables_do_not_define) {
  refuses("unknown opcode", [](Program& p) { p.sections[0].code[0].type = Type::f16; });
  refuses("of type i32, wanted f32", [](Program& p) { p.slots[3].type = Type::i32; });
  refuses("reads slot 9 of 4", [](Program& p) { p.sections[0].code[0].operands[0] = 9; });
  refuses("broadcasts others", [](Program& p) { p.sections[0].code[0].broadcast = 7; });
  refuses("not more", [](Program& p) { p.sections[0].code[0].operands[2] = 1; });
}

TEST(verify_refuses_words_that_are_no_program) {
  const std::vector<Word> words = encode(scale());
  CHECK(throws([&] { verify(std::span(words).first(3)); }, "a header has"));
  CHECK(throws([&] { verify(std::span(words).first(words.size() - 1)); }, "the header says"));
  std::vector<Word> other = words;
  other[0] ^= 1;
  CHECK(throws([&] { verify(other); }, "fingerprint"));
}

TEST(assemble_names_the_line_and_what_was_wanted) {
  refuses_text("wanted 'program'", "");
  refuses_text("line 1: got 'slot', wanted 'program'", "slot r0");
  refuses_text("line 2: got 'axes'", "program\naxes 3");
  refuses_text("wanted parallel, reduce or indexed", "program\naxis 3");
  refuses_text("a second axis of rows", "program\naxis parallel 3 rows 1\naxis parallel 3 rows 1");
  refuses_text("wanted a type", "program\nslot r0 f99 tile @0");
  refuses_text("a second slot r0", "program\nslot r0 f32 tile @0\nslot r0 f32 tile @0");
  refuses_text("unknown instruction 'add_f16'", "program\neach\nadd_f16 tile r0, r0, r0");
  refuses_text("line 3: got 'r0', wanted a slot", "program\neach\nneg_f32 tile r0, r0");
  refuses_text("has 2 operands", "program\nslot r0 f32 tile @0\neach\nadd_f32 tile r0, r0");
  refuses_text("follows the end", "program\nscratch 0 0");
  refuses_text("wanted a constant of type i32", "program\nslot c0 i32 one 1.5");
  refuses_text("wanted a whole number", "program\nscratch 99999999999999999999");
}

}  // namespace dvm::test
