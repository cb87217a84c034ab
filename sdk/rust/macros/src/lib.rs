//! Derive macros of the EventFabric SDK.

use proc_macro::TokenStream;
use quote::quote;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Ident, Lit, LitStr, Meta,
    Result, Token, parse_macro_input, punctuated::Punctuated, spanned::Spanned,
};

/// Reads a row of a query into a struct, field by field, by the names of the columns.
/// `#[column("name")]` on a field names another column.
#[proc_macro_derive(FromRow, attributes(column))]
pub fn derive_from_row(input: TokenStream) -> TokenStream {
    from_row(&parse_macro_input!(input)).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes the parameters of a query of a struct: each field is one, with its comment as the text for
/// people; `Option` is one that may be left out.
#[proc_macro_derive(Params)]
pub fn derive_params(input: TokenStream) -> TokenStream {
    params(&parse_macro_input!(input)).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// The fields of a struct that have names.
fn fields<'a>(input: &'a DeriveInput, derive: &str) -> Result<&'a Punctuated<Field, Token![,]>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            other => Err(Error::new(other.span(), format!("{derive} needs fields with names"))),
        },
        _ => Err(Error::new(input.span(), format!("{derive} is for structs"))),
    }
}

fn name_of(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

fn params(input: &DeriveInput) -> Result<proc_macro2::TokenStream> {
    let fields = fields(input, "Params")?;
    let described = fields.iter().map(|field| {
        let (ident, of) = (field.ident.as_ref().expect("the fields have names"), &field.ty);
        let (name, text) = (name_of(ident), comment(&field.attrs));
        quote! { ::eventfabric_sdk::ParamInfo::of::<#of>(#name, #text) }
    });
    let values = fields.iter().map(|field| {
        let ident = field.ident.as_ref().expect("the fields have names");
        let name = name_of(ident);
        quote! { #ident: given.take(#name)? }
    });
    let name = &input.ident;
    let (impl_generics, type_generics, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::eventfabric_sdk::Params for #name #type_generics #bounds {
            fn describe() -> ::std::vec::Vec<::eventfabric_sdk::ParamInfo> {
                ::std::vec![#(#described),*]
            }

            fn read(mut given: ::eventfabric_sdk::Given) -> ::eventfabric_sdk::Result<Self> {
                ::std::result::Result::Ok(Self { #(#values),* })
            }
        }
    })
}

/// The lines of a documentation comment as one.
fn comment(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}

fn from_row(input: &DeriveInput) -> Result<proc_macro2::TokenStream> {
    let values = fields(input, "FromRow")?.iter().map(|field| {
        let ident = field.ident.as_ref().expect("the fields have names");
        let attribute = field.attrs.iter().find(|attribute| attribute.path().is_ident("column"));
        let column = match attribute {
            Some(attribute) => attribute.parse_args::<LitStr>()?.value(),
            None => name_of(ident),
        };
        Ok(quote! { #ident: row.take(#column)? })
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    let name = &input.ident;
    let (impl_generics, type_generics, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::eventfabric_sdk::FromRow for #name #type_generics #bounds {
            fn from_row(mut row: ::eventfabric_sdk::Row) -> ::eventfabric_sdk::Result<Self> {
                ::std::result::Result::Ok(Self { #(#values),* })
            }
        }
    })
}
