#include "isa/assemble.h"

#include <bit>
#include <charconv>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "isa/opcode.h"
#include "isa/text.h"

namespace dvm {
namespace {

constexpr std::string_view kSpaces = " \t\r,";

template <std::size_t kCount>
std::optional<std::size_t> find(const std::string_view (&names)[kCount], std::string_view name) {
  for (std::size_t i = 0; i < kCount; ++i) {
    if (names[i] == name) return i;
  }
  return std::nullopt;
}

std::optional<Type> find_type(std::string_view name) {
  for (std::size_t i = 0; i < kTypeCount; ++i) {
    if (kTypes[i].text == name) return static_cast<Type>(i);
  }
  return std::nullopt;
}

template <class T>
std::optional<T> read(std::string_view text, int base = 10) {
  T value{};
  std::from_chars_result result;
  if constexpr (std::is_floating_point_v<T>) {
    result = std::from_chars(text.data(), text.data() + text.size(), value);
  } else {
    result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  }
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

class Assembler {
 public:
  Program run(std::string_view text) {
    bool started = false;
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      rest_ = text.substr(0, end);
      text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
      ++line_;
      rest_ = rest_.substr(0, rest_.find('#'));
      const std::string_view word = next();
      if (word.empty()) continue;
      if (!started) {
        require(word == "program", "got '", word, "', wanted 'program'");
        started = true;
      } else {
        statement(word);
      }
      require(next().empty(), "something follows the end of the statement: '", last_, "'");
    }
    line_ = 0;
    require(started, "the text is empty, wanted 'program'");
    return std::move(program_);
  }

 private:
  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (condition) return;
    std::string message = "[assemble] ";
    if (line_ > 0) message += "line " + std::to_string(line_) + ": ";
    ((message += parts), ...);
    throw std::invalid_argument(message);
  }

  std::string_view next() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpaces), rest_.size()));
    std::size_t end = rest_.find_first_of(kSpaces);
    // Brackets are words of their own, and end one.
    const std::size_t bracket = rest_.find_first_of("[]");
    if (bracket < std::min(end, rest_.size())) end = bracket == 0 ? 1 : bracket;
    last_ = rest_.substr(0, end);
    rest_.remove_prefix(last_.size());
    return last_;
  }

  std::string_view peek() {
    const std::string_view before = rest_;
    const std::string_view word = next();
    rest_ = before;
    return word;
  }

  void expect(std::string_view wanted) {
    require(next() == wanted, "got '", last_, "', wanted '", wanted, "'");
  }

  std::int64_t integer(std::string_view word) {
    const auto value = read<std::int64_t>(word);
    require(value.has_value(), "got '", word, "', wanted a whole number");
    return *value;
  }
  std::int64_t integer() { return integer(next()); }

  std::uint16_t small(const char* what) {
    const std::int64_t value = integer();
    require(value >= 0 && value <= std::numeric_limits<std::uint16_t>::max(), what, " ",
            std::string(last_), " is out of range");
    return static_cast<std::uint16_t>(value);
  }

  std::int64_t offset() {
    const std::string_view word = next();
    require(word.starts_with("@"), "got '", word, "', wanted an offset such as @64");
    return integer(word.substr(1));
  }

  Domain domain() {
    const auto found = find(kDomainNames, next());
    require(found.has_value(), "got '", last_, "', wanted tile, row, col or one");
    return static_cast<Domain>(*found);
  }

  void statement(std::string_view word) {
    if (const auto kind = find(kSectionNames, word)) {
      program_.sections.push_back({static_cast<SectionKind>(*kind), {}});
    } else if (!program_.sections.empty()) {
      instruction(word);
    } else if (word == "axis") {
      axis();
    } else if (word == "slot") {
      slot();
    } else if (word == "parts") {
      program_.parts = integer();
    } else if (word == "scratch") {
      program_.scratch_bytes = integer();
    } else if (word == "arguments") {
      program_.arguments = small("arguments");
    } else if (word == "scalars") {
      program_.scalars = small("scalars");
    } else {
      require(false, "got '", word,
              "', wanted axis, parts, scratch, arguments, scalars, slot, once or each");
    }
  }

  void axis() {
    require(program_.slots.empty(), "an axis follows the slots");
    require(program_.axes.size() < kMaxAxes, "more than ", std::to_string(kMaxAxes), " axes");
    const auto role = find(kRoleNames, next());
    require(role.has_value(), "got '", last_, "', wanted parallel, reduce or indexed");
    Axis axis;
    axis.role = static_cast<Role>(*role);
    axis.extent = integer();
    const std::string_view tiled = next();
    if (!tiled.empty()) {
      require(tiled == "rows" || tiled == "cols", "got '", tiled, "', wanted rows or cols");
      int& tile_axis = tiled == "rows" ? program_.row_axis : program_.col_axis;
      require(tile_axis < 0, "a second axis of ", tiled);
      tile_axis = static_cast<int>(program_.axes.size());
      axis.block = integer();
    }
    program_.axes.push_back(axis);
  }

  void strides(Slot& slot) {
    expect("[");
    for (std::size_t axis = 0; axis < program_.axes.size(); ++axis) slot.strides[axis] = integer();
    expect("]");
    if (peek() != "part") return;
    next();
    slot.part_stride = integer();
  }

  void slot() {
    const std::string name(next());
    require(program_.slots.size() < kMaxSlots, "more than ", std::to_string(kMaxSlots), " slots");
    const std::size_t letter = name.empty() ? std::string_view::npos : kSlotLetters.find(name[0]);
    require(letter != std::string_view::npos, "got slot '", name,
            "', wanted a name of r, k, m, s, c or i and a number");
    require(names_.emplace(name, program_.slots.size()).second, "a second slot ", name);
    Slot slot;
    slot.kind = static_cast<SlotKind>(letter);
    const auto type = find_type(next());
    require(type.has_value(), "got '", last_, "', wanted a type");
    slot.type = *type;
    slot.domain = domain();
    switch (slot.kind) {
      case SlotKind::kRegister:
        slot.offset = offset();
        break;
      case SlotKind::kKept:
        slot.offset = offset();
        strides(slot);
        break;
      case SlotKind::kArgument:
        expect("argument");
        slot.index = small("argument");
        slot.offset = offset();
        strides(slot);
        break;
      case SlotKind::kScalar:
        expect("scalar");
        slot.index = small("scalar");
        break;
      case SlotKind::kConstant:
        slot.offset = static_cast<std::int64_t>(constant(slot.type));
        break;
      case SlotKind::kIndex:
        expect("from");
        slot.offset = integer();
        strides(slot);
        break;
    }
    program_.slots.push_back(slot);
  }

  std::uint64_t constant(Type type) {
    const std::string_view word = next();
    if (word.starts_with("0x")) {
      const auto bits = read<std::uint64_t>(word.substr(2), 16);
      require(bits.has_value(), "got '", word, "', wanted bits such as 0x3f800000");
      return *bits;
    }
    std::optional<std::uint64_t> bits;
    switch (type) {
      case Type::f32:
        if (const auto value = read<float>(word)) bits = std::bit_cast<std::uint32_t>(*value);
        break;
      case Type::f64:
        if (const auto value = read<double>(word)) bits = std::bit_cast<std::uint64_t>(*value);
        break;
      case Type::i32:
        if (const auto value = read<std::int32_t>(word)) bits = static_cast<std::uint32_t>(*value);
        break;
      case Type::i64:
        if (const auto value = read<std::int64_t>(word)) bits = static_cast<std::uint64_t>(*value);
        break;
      case Type::bool_:
        if (word == "true" || word == "false") bits = word == "true" ? 1 : 0;
        break;
      default:
        break;
    }
    require(bits.has_value(), "got '", word, "', wanted a constant of type ", info(type).text,
            " or its bits, such as 0x1");
    return *bits;
  }

  std::uint16_t named_slot(std::string_view name) const {
    const auto found = names_.find(std::string(name));
    require(found != names_.end(), "got '", name, "', wanted a slot");
    return static_cast<std::uint16_t>(found->second);
  }

  void instruction(std::string_view name) {
    const auto code = find_opcode(name);
    require(code.has_value(), "unknown instruction '", name, "'");
    Instruction instruction;
    instruction.op = op_of(*code);
    instruction.type = type_of(*code);
    instruction.domain = domain();
    instruction.dst = named_slot(next());
    for (int k = 0; k < operand_count(instruction.op); ++k) {
      std::string_view operand = next();
      require(!operand.empty(), name, " has ", std::to_string(operand_count(instruction.op)),
              " operands");
      if (operand.starts_with("~")) {
        instruction.broadcast |= static_cast<std::uint8_t>(1u << k);
        operand.remove_prefix(1);
      }
      instruction.operands[k] = named_slot(operand);
    }
    program_.sections.back().code.push_back(instruction);
  }

  Program program_;
  std::unordered_map<std::string, std::size_t> names_;
  std::string_view rest_, last_;
  int line_ = 0;
};

}  // namespace

Program assemble(std::string_view text) { return Assembler().run(text); }

}  // namespace dvm
