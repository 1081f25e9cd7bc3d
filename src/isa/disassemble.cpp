#include "isa/disassemble.h"

#include <bit>
#include <charconv>
#include <cmath>

#include "isa/opcode.h"
#include "isa/text.h"

namespace dvm {
namespace {

std::string number(std::int64_t value) { return std::to_string(value); }

std::string hexadecimal(std::uint64_t bits) {
  char text[20];
  const auto end = std::to_chars(text, text + sizeof(text), bits, 16).ptr;
  return "0x" + std::string(text, end);
}

// The shortest decimal that reads back as the same number, always looking like a float.
template <class T>
std::string decimal(T value) {
  char text[64];
  std::string result(text, std::to_chars(text, text + sizeof(text), value).ptr);
  if (result.find_first_of(".en") == std::string::npos) result += ".0";
  return result;
}

// A number where that says all, else the bits.
std::string constant(Type type, std::uint64_t bits) {
  const auto low = static_cast<std::uint32_t>(bits);
  switch (type) {
    case Type::f32:
      if (bits >> 32 == 0 && !std::isnan(std::bit_cast<float>(low)))
        return decimal(std::bit_cast<float>(low));
      break;
    case Type::f64:
      if (!std::isnan(std::bit_cast<double>(bits))) return decimal(std::bit_cast<double>(bits));
      break;
    case Type::i32:
      if (bits >> 32 == 0) return number(static_cast<std::int32_t>(low));
      break;
    case Type::i64:
      return number(static_cast<std::int64_t>(bits));
    case Type::bool_:
      if (bits <= 1) return bits == 1 ? "true" : "false";
      break;
    default:
      break;
  }
  return hexadecimal(bits);
}

class Printer {
 public:
  explicit Printer(const Program& program) : program_(program) {}

  std::string print() {
    text_ = "program\n";
    for (std::size_t i = 0; i < program_.axes.size(); ++i) print_axis(static_cast<int>(i));
    if (program_.parts != 1) line("parts " + number(program_.parts));
    line("scratch " + number(program_.scratch_bytes));
    line("arguments " + number(program_.arguments));
    if (program_.scalars != 0) line("scalars " + number(program_.scalars));
    for (std::size_t i = 0; i < program_.slots.size(); ++i) print_slot(i);
    for (const Section& section : program_.sections) {
      text_ += kSectionNames[static_cast<int>(section.kind)];
      text_ += '\n';
      for (const Instruction& instruction : section.code) print_instruction(instruction);
    }
    return std::move(text_);
  }

 private:
  void line(const std::string& text) { text_ += "  " + text + "\n"; }

  void print_axis(int i) {
    const Axis& axis = program_.axes[static_cast<std::size_t>(i)];
    std::string text =
        "axis " + std::string(kRoleNames[static_cast<int>(axis.role)]) + " " + number(axis.extent);
    if (i == program_.row_axis) text += " rows " + number(axis.block);
    if (i == program_.col_axis) text += " cols " + number(axis.block);
    line(text);
  }

  std::string slot_name(std::size_t i) const {
    if (i >= program_.slots.size()) return "?" + number(static_cast<std::int64_t>(i));
    return kSlotLetters[static_cast<std::size_t>(program_.slots[i].kind)] +
           number(static_cast<std::int64_t>(i));
  }

  std::string strides(const Slot& slot) const {
    std::string text = " [";
    for (std::size_t axis = 0; axis < program_.axes.size(); ++axis) {
      if (axis > 0) text += ", ";
      text += number(slot.strides[axis]);
    }
    text += "]";
    if (slot.part_stride != 0) text += " part " + number(slot.part_stride);
    return text;
  }

  void print_slot(std::size_t i) {
    const Slot& slot = program_.slots[i];
    std::string text = "slot " + slot_name(i) + " ";
    text += info(slot.type).text;
    text += ' ';
    text += kDomainNames[static_cast<int>(slot.domain)];
    text += ' ';
    switch (slot.kind) {
      case SlotKind::kRegister:
        text += "@" + number(slot.offset);
        break;
      case SlotKind::kKept:
        text += "@" + number(slot.offset) + strides(slot);
        break;
      case SlotKind::kArgument:
        text += "argument " + number(slot.index) + " @" + number(slot.offset) + strides(slot);
        break;
      case SlotKind::kScalar:
        text += "scalar " + number(slot.index);
        break;
      case SlotKind::kConstant:
        text += constant(slot.type, static_cast<std::uint64_t>(slot.offset));
        break;
      case SlotKind::kIndex:
        text += "from " + number(slot.offset) + strides(slot);
        break;
    }
    line(text);
  }

  void print_instruction(const Instruction& instruction) {
    std::string text = opcode_name(instruction.op, instruction.type);
    text += ' ';
    text += kDomainNames[static_cast<int>(instruction.domain)];
    text += ' ' + slot_name(instruction.dst);
    for (int k = 0; k < operand_count(instruction.op); ++k) {
      text += (instruction.broadcast >> k & 1) != 0 ? ", ~" : ", ";
      text += slot_name(instruction.operands[k]);
    }
    line(text);
  }

  const Program& program_;
  std::string text_;
};

}  // namespace

std::string disassemble(const Program& program) { return Printer(program).print(); }

}  // namespace dvm
