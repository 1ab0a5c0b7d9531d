/// A quote is many small allocations that cross threads: a replay is 1.4 times as fast as with the system allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    quoteguard::app::main()
}
