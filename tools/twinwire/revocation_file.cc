#include "tools/twinwire/revocation_file.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <fstream>

namespace twinwire {
namespace {

std::string line_of(const Revocations::Entry& entry) {
  std::string line = std::to_string(entry.wall_ms);
  line.append("\t").append(entry.user.tenant()).append("\t").append(entry.user.text());
  return line + "\n";
}

// Nothing if the line is none of ours.
bool read_line(std::string_view line, Revocations::Entry& entry) {
  size_t first = line.find('\t'), second = line.find('\t', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return false;
  auto [end, error] = std::from_chars(line.data(), line.data() + first, entry.wall_ms);
  if (error != std::errc() || end != line.data() + first) return false;
  std::string_view tenant = line.substr(first + 1, second - first - 1), user = line.substr(second + 1);
  if (tenant.size() > Name::kBytesMax || user.size() > Name::kBytesMax) return false;
  entry.user = user.empty() ? Name() : Name(tenant, user);
  return true;
}

bool write_all(int file, std::string_view text) {
  return write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

Result<std::unique_ptr<RevocationFile>> RevocationFile::open(const std::string& path,
                                                             Revocations& revocations) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (in.eof()) break;  // without its line end it was cut off
    Revocations::Entry entry;
    if (read_line(line, entry)) revocations.add(entry);
  }
  std::string text, fresh = path + ".new";
  for (const Revocations::Entry& entry : revocations.list()) text += line_of(entry);
  int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  bool done = file >= 0 && write_all(file, text) && fdatasync(file) == 0 &&
              std::rename(fresh.c_str(), path.c_str()) == 0;
  int wanted = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!done || wanted < 0) return fail(Code::internal, "cannot write " + path);
  return std::unique_ptr<RevocationFile>(new RevocationFile(file, wanted));
}

RevocationFile::~RevocationFile() {
  fdatasync(file_);
  close(file_);
  close(wanted_);
}

bool RevocationFile::append(const Revocations::Entry& entry) {
  std::lock_guard lock(writing_);
  off_t end = lseek(file_, 0, SEEK_END);
  bool written = write_all(file_, line_of(entry));
  // A part of a line would take the next one with it, or be the line of somebody else.
  if (!written) (void)!ftruncate(file_, end);
  uint64_t one = 1;
  (void)!write(wanted_, &one, sizeof one);
  return written;
}

void RevocationFile::sync() {
  uint64_t count = 0;
  (void)!read(wanted_, &count, sizeof count);
  fdatasync(file_);
}

}  // namespace twinwire
