//! The two questions to the kernel that no safe library asks. Both only read, and hand over no memory that outlives them.

/// Whether the kernel says that something keeps its clock right. `None` where it does not answer.
#[expect(unsafe_code, reason = "adjtimex has no safe wrapper; with `modes` zero it only fills the struct it is given")]
pub fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: all-zero bytes are a valid `timex`, whose fields are integers.
    let mut time: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `timex` that lives across the call.
    match unsafe { libc::adjtimex(&mut time) } {
        -1 => None,
        state => Some(state != libc::TIME_ERROR && time.status & libc::STA_UNSYNC == 0),
    }
}

/// The version of Landlock that the kernel offers; 0 where it offers none.
#[expect(unsafe_code, reason = "the version of Landlock can be asked for without restricting oneself only this way")]
pub fn landlock_version() -> u32 {
    const VERSION_ONLY: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the kernel takes no attributes, and the null pointer and length zero say so.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION_ONLY) };
    u32::try_from(version).unwrap_or(0)
}
