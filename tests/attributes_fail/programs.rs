mod no_runtime {
    #[foster::main]
    async fn main() {}
}

mod unknown_runtime {
    #[foster::main(monoio)]
    async fn main() {}
}

mod for_tests {
    #[foster::main(sim)]
    async fn main() {}
}

mod no_threads {
    #[foster::main(basic, threads = 0)]
    async fn main() {}
}

mod threads_of_smol {
    #[foster::main(smol, threads = 4)]
    async fn main() {}
}

mod threads_first {
    #[foster::main(threads = 4, basic)]
    async fn main() {}
}

mod unknown_argument {
    #[foster::main(basic, flavor = "current_thread")]
    async fn main() {}
}

mod not_async {
    #[foster::main(basic)]
    fn main() {}
}

mod arguments {
    #[foster::main(basic)]
    async fn main(arguments: Vec<String>) {}
}

fn main() {}
