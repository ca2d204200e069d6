#include "reader.h"

#include <cmath>

namespace protein_lm {

double Reader::number(const char* name) {
  const size_t index = next_number_++;
  if (args.ok() && index >= numbers_.length)
    args.fail("sizes has " + std::to_string(numbers_.length) + " numbers: " + name + " is missing");
  return args.ok() ? numbers_.data[index] : 0;
}

size_t Reader::size(const char* name) {
  const double value = number(name);
  if (args.ok() && !(value >= 0 && value <= 9007199254740991.0 && value == std::floor(value)))
    args.fail(std::string(name) + " must be an integer from 0");
  return args.ok() ? static_cast<size_t>(value) : 0;
}

size_t Reader::positive(const char* name) {
  const size_t value = size(name);
  if (args.ok() && value == 0) args.fail(std::string(name) + " must be at least 1");
  return value;
}

int32_t Reader::integer(const char* name) {
  const double value = number(name);
  if (args.ok() && !(value >= INT32_MIN && value <= INT32_MAX && value == std::floor(value)))
    args.fail(std::string(name) + " must be a 32-bit integer");
  return args.ok() ? static_cast<int32_t>(value) : 0;
}

bool Reader::boolean(const char* name) {
  const double value = number(name);
  if (args.ok() && value != 0 && value != 1) args.fail(std::string(name) + " must be 0 or 1");
  return value == 1;
}

void Reader::check_indices(const int32_t* indices, size_t count, size_t limit, const char* name) {
  for (size_t i = 0; args.ok() && i < count; i++)
    if (indices[i] < 0 || static_cast<size_t>(indices[i]) >= limit)
      args.fail(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(indices[i]) +
                ", must be at least 0 and below " + std::to_string(limit));
}

}  // namespace protein_lm
