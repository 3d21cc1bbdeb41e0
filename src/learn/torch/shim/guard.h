// No exception crosses into Rust: work that throws becomes a message, to be freed with `seedpipe_free`.
#pragma once

#include <cstring>
#include <exception>
#include <string>

inline char *message(const std::string &text) { return strdup(text.c_str()); }

template <typename Work> char *guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception &error) {
    return message(error.what());
  } catch (...) {
    return message("an unknown C++ exception");
  }
}
