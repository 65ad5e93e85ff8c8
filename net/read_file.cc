#include "net/read_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace twinwire {

Result<std::string> read_file(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  std::string text;
  char piece[4096];
  for (size_t got = 0; file && (got = std::fread(piece, 1, sizeof piece, file.get())) > 0;) {
    text.append(piece, got);
    if (text.size() > kFileBytesMax) return fail(Code::too_large, "\"" + path + "\" is larger than 1 MiB");
  }
  if (!file || std::ferror(file.get()))
    return fail(Code::not_found, "cannot read \"" + path + "\": " + std::strerror(errno));
  return text;
}

}  // namespace twinwire
